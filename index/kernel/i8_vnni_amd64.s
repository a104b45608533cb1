#include "textflag.h"

// int8 with AVX-512 VNNI. VPDPBUSD multiplies unsigned by signed bytes and adds groups
// of four to int32, without saturation. A byte becomes unsigned, 128 more, by XOR 0x80:
// write u(x) for x + 128. Then, with sums over a group,
//
//	q r       = u(r) q - 128 q
//	(q - r)^2 = q^2 + 128 q + u(r) r - u(r) q - u(q) r
//	          = u(q) q + u(r) r - u(r) q - u(q) r
//
// (u(r) r = r^2 + 128 r and so on: the multiples of 128 cancel out). What depends on the
// query alone is summed once a call, in Z14, lane by lane, and is what each row starts
// from. Sums in between may wrap around; the results do not, and so are exact.
// Masked-out bytes of query and row are 0 and add nothing, as one factor is then 0.
//
// Z8 holds a part of the query, Z9 the same as unsigned, Z15 64 times 0x80, K1 the mask
// of the last, partial 64.

#define STEP 64
#define SHIFT 0

#define PREFETCH \
	PREFETCHT0 (R12)(CX*1); \
	PREFETCHT0 (R13)(CX*1); \
	PREFETCHT0 (R14)(CX*1); \
	PREFETCHT0 (R15)(CX*1)

// INIT sets the mask and Z15 and sums over the query.
#define INIT \
	MOVQ DX, CX; \
	ANDQ $63, CX; \
	MOVQ $1, R8; \
	SHLQ CX, R8; \
	DECQ R8; \
	KMOVQ R8, K1; \
	MOVL $0x80, R8; \
	VPBROADCASTB R8, Z15; \
	VPXORQ Z14, Z14, Z14; \
	VPXORQ Z13, Z13, Z13; \
	XORQ CX, CX; \
	CMPQ CX, BX; \
	JGE  initpart; \
initstep: \
	VMOVDQU64 (SI)(CX*1), Z8; \
	QUERY; \
	ADDQ $64, CX; \
	CMPQ CX, BX; \
	JLT  initstep; \
initpart: \
	TESTQ $63, DX; \
	JZ   initdone; \
	VMOVDQU8.Z (SI)(CX*1), K1, Z8; \
	QUERY; \
initdone: \
	QUERYDONE

#define STEP4 \
	VMOVDQU64 (SI)(CX*1), Z8; \
	USQ; \
	ADD(R8, Z0, Z4, Z16); \
	ADD(R9, Z1, Z5, Z17); \
	ADD(R10, Z2, Z6, Z18); \
	ADD(R11, Z3, Z7, Z19)

#define STEP1 \
	VMOVDQU64 (SI)(CX*1), Z8; \
	USQ; \
	ADD(R8, Z0, Z4, Z16)

#define TAIL4 \
	VMOVDQU8.Z (SI)(CX*1), K1, Z8; \
	USQ; \
	ADDPART(R8, Z0, Z4, Z16); \
	ADDPART(R9, Z1, Z5, Z17); \
	ADDPART(R10, Z2, Z6, Z18); \
	ADDPART(R11, Z3, Z7, Z19)

#define TAIL1 \
	VMOVDQU8.Z (SI)(CX*1), K1, Z8; \
	USQ; \
	ADDPART(R8, Z0, Z4, Z16)

#define SUM4 \
	VEXTRACTI64X4 $1, Z0, Y4; \
	VEXTRACTI64X4 $1, Z1, Y5; \
	VEXTRACTI64X4 $1, Z2, Y6; \
	VEXTRACTI64X4 $1, Z3, Y7; \
	VPADDD Y4, Y0, Y0; \
	VPADDD Y5, Y1, Y1; \
	VPADDD Y6, Y2, Y2; \
	VPADDD Y7, Y3, Y3; \
	VPHADDD Y1, Y0, Y0; \
	VPHADDD Y3, Y2, Y2; \
	VPHADDD Y2, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

#define SUM1 \
	VEXTRACTI64X4 $1, Z0, Y4; \
	VPADDD Y4, Y0, Y0; \
	VPHADDD Y0, Y0, Y0; \
	VPHADDD Y0, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

// Dot product: Z0 to Z3 are the sums.

#define QUERY VPDPBUSD Z8, Z15, Z13
#define QUERYDONE VPSUBD Z13, Z14, Z14
#define USQ
#define ZERO \
	VMOVDQA64 Z14, Z0; \
	VMOVDQA64 Z14, Z1; \
	VMOVDQA64 Z14, Z2; \
	VMOVDQA64 Z14, Z3
#define REDUCE4 SUM4
#define REDUCE1 SUM1

#define ADD(r, a, b, c) \
	VPXORQ (r)(CX*1), Z15, Z10; \
	VPDPBUSD Z8, Z10, a

#define ADDPART(r, a, b, c) \
	VMOVDQU8.Z (r)(CX*1), K1, Z10; \
	VPXORQ Z10, Z15, Z10; \
	VPDPBUSD Z8, Z10, a

// func dotI8VNNI(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·dotI8VNNI(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"

#undef QUERY
#undef QUERYDONE
#undef USQ
#undef ZERO
#undef REDUCE4
#undef REDUCE1
#undef ADD
#undef ADDPART

// Squared distance: Z0 to Z3 sum what is added, Z4 to Z7 and Z16 to Z19 what is
// subtracted, apart so that no sum waits for another.

#define QUERY \
	USQ; \
	VPDPBUSD Z8, Z9, Z14
#define QUERYDONE
#define USQ VPXORQ Z8, Z15, Z9
#define ZERO \
	VMOVDQA64 Z14, Z0; \
	VMOVDQA64 Z14, Z1; \
	VMOVDQA64 Z14, Z2; \
	VMOVDQA64 Z14, Z3; \
	VPXORQ Z4, Z4, Z4; \
	VPXORQ Z5, Z5, Z5; \
	VPXORQ Z6, Z6, Z6; \
	VPXORQ Z7, Z7, Z7; \
	VPXORQ Z16, Z16, Z16; \
	VPXORQ Z17, Z17, Z17; \
	VPXORQ Z18, Z18, Z18; \
	VPXORQ Z19, Z19, Z19

#define REDUCE4 \
	VPSUBD Z4, Z0, Z0; \
	VPSUBD Z5, Z1, Z1; \
	VPSUBD Z6, Z2, Z2; \
	VPSUBD Z7, Z3, Z3; \
	VPSUBD Z16, Z0, Z0; \
	VPSUBD Z17, Z1, Z1; \
	VPSUBD Z18, Z2, Z2; \
	VPSUBD Z19, Z3, Z3; \
	SUM4

#define REDUCE1 \
	VPSUBD Z4, Z0, Z0; \
	VPSUBD Z16, Z0, Z0; \
	SUM1

#define ADD(r, a, b, c) \
	VMOVDQU64 (r)(CX*1), Z10; \
	ADDLOADED(a, b, c)

#define ADDPART(r, a, b, c) \
	VMOVDQU8.Z (r)(CX*1), K1, Z10; \
	ADDLOADED(a, b, c)

#define ADDLOADED(a, b, c) \
	VPXORQ Z10, Z15, Z11; \
	VPDPBUSD Z10, Z11, a; \
	VPDPBUSD Z8, Z11, b; \
	VPDPBUSD Z10, Z9, c

// func l2I8VNNI(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·l2I8VNNI(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"
