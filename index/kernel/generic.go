package kernel

// The kernel in plain Go. ids is nil for the rows from 0 on. The conversions of
// products to float32 forbid the compiler to fuse them with the sums, which it does
// on some architectures, so that all compute the same bits.

// row returns the i-th row that is asked for.
func row[T int8 | float32](rows []T, dim int, ids []uint32, i int) []T {
	if ids != nil {
		i = int(ids[i])
	}
	return rows[i*dim:][:dim:dim]
}

func dotF32Go(q, rows []float32, ids []uint32, out []float32) {
	for i := range out {
		r, q := row(rows, len(q), ids, i), q
		var a, b, c, d float32
		for len(q) >= 4 && len(r) >= 4 {
			a += float32(q[0] * r[0])
			b += float32(q[1] * r[1])
			c += float32(q[2] * r[2])
			d += float32(q[3] * r[3])
			q, r = q[4:], r[4:]
		}
		for j := range min(len(q), len(r)) {
			a += float32(q[j] * r[j])
		}
		out[i] = (a + b) + (c + d)
	}
}

func l2F32Go(q, rows []float32, ids []uint32, out []float32) {
	for i := range out {
		r, q := row(rows, len(q), ids, i), q
		var a, b, c, d float32
		for len(q) >= 4 && len(r) >= 4 {
			e, f, g, h := q[0]-r[0], q[1]-r[1], q[2]-r[2], q[3]-r[3]
			a += float32(e * e)
			b += float32(f * f)
			c += float32(g * g)
			d += float32(h * h)
			q, r = q[4:], r[4:]
		}
		for j := range min(len(q), len(r)) {
			e := q[j] - r[j]
			a += float32(e * e)
		}
		out[i] = (a + b) + (c + d)
	}
}

func dotI8Go(q, rows []int8, ids []uint32, out []int32) {
	for i := range out {
		r, q := row(rows, len(q), ids, i), q
		var a, b int32
		for len(q) >= 4 && len(r) >= 4 {
			a += int32(q[0])*int32(r[0]) + int32(q[1])*int32(r[1])
			b += int32(q[2])*int32(r[2]) + int32(q[3])*int32(r[3])
			q, r = q[4:], r[4:]
		}
		for j := range min(len(q), len(r)) {
			a += int32(q[j]) * int32(r[j])
		}
		out[i] = a + b
	}
}

func l2I8Go(q, rows []int8, ids []uint32, out []int32) {
	for i := range out {
		r, q := row(rows, len(q), ids, i), q
		var a, b int32
		for len(q) >= 4 && len(r) >= 4 {
			e, f, g, h := int32(q[0])-int32(r[0]), int32(q[1])-int32(r[1]), int32(q[2])-int32(r[2]), int32(q[3])-int32(r[3])
			a += e*e + f*f
			b += g*g + h*h
			q, r = q[4:], r[4:]
		}
		for j := range min(len(q), len(r)) {
			e := int32(q[j]) - int32(r[j])
			a += e * e
		}
		out[i] = a + b
	}
}
