#include "textflag.h"

// float32 with AVX2 and FMA. Y0 to Y3 and Y4 to Y7 hold two sums for each of four
// rows, Y8 and Y9 parts of the query, Y15 the mask of the last, partial eight.

// 8 times all ones, 8 times zero.
DATA maskF32<>+0(SB)/8, $-1
DATA maskF32<>+8(SB)/8, $-1
DATA maskF32<>+16(SB)/8, $-1
DATA maskF32<>+24(SB)/8, $-1
DATA maskF32<>+32(SB)/8, $0
DATA maskF32<>+40(SB)/8, $0
DATA maskF32<>+48(SB)/8, $0
DATA maskF32<>+56(SB)/8, $0
GLOBL maskF32<>(SB), RODATA|NOPTR, $64

#define STEP 64
#define SHIFT 2

#define PREFETCH \
	PREFETCHT0 (R12)(CX*1); \
	PREFETCHT0 (R13)(CX*1); \
	PREFETCHT0 (R14)(CX*1); \
	PREFETCHT0 (R15)(CX*1)

// INIT sets the mask to the first dim%8 places.
#define INIT \
	MOVQ DX, R8; \
	SHRQ $2, R8; \
	ANDQ $7, R8; \
	MOVQ $8, R9; \
	SUBQ R8, R9; \
	LEAQ maskF32<>(SB), R8; \
	VMOVUPS (R8)(R9*4), Y15

#define ZERO \
	VXORPS Y0, Y0, Y0; \
	VXORPS Y1, Y1, Y1; \
	VXORPS Y2, Y2, Y2; \
	VXORPS Y3, Y3, Y3; \
	VXORPS Y4, Y4, Y4; \
	VXORPS Y5, Y5, Y5; \
	VXORPS Y6, Y6, Y6; \
	VXORPS Y7, Y7, Y7

#define REDUCE4 \
	VADDPS Y4, Y0, Y0; \
	VADDPS Y5, Y1, Y1; \
	VADDPS Y6, Y2, Y2; \
	VADDPS Y7, Y3, Y3; \
	VHADDPS Y1, Y0, Y0; \
	VHADDPS Y3, Y2, Y2; \
	VHADDPS Y2, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0

#define REDUCE1 \
	VADDPS Y4, Y0, Y0; \
	VHADDPS Y0, Y0, Y0; \
	VHADDPS Y0, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0

// TAIL adds eight more if there are, then the partial eight, to the first sums.
#define TAIL4 \
	TESTQ $32, DX; \
	JZ   tail4part; \
	VMOVUPS (SI)(CX*1), Y8; \
	ADD(R8, 0, Y8, Y10, Y0); \
	ADD(R9, 0, Y8, Y11, Y1); \
	ADD(R10, 0, Y8, Y12, Y2); \
	ADD(R11, 0, Y8, Y13, Y3); \
	ADDQ $32, CX; \
tail4part: \
	TESTQ $31, DX; \
	JZ   sum4; \
	VMASKMOVPS (SI)(CX*1), Y15, Y8; \
	ADDPART(R8, Y8, Y10, Y0); \
	ADDPART(R9, Y8, Y11, Y1); \
	ADDPART(R10, Y8, Y12, Y2); \
	ADDPART(R11, Y8, Y13, Y3)

#define TAIL1 \
	TESTQ $32, DX; \
	JZ   tail1part; \
	VMOVUPS (SI)(CX*1), Y8; \
	ADD(R8, 0, Y8, Y10, Y0); \
	ADDQ $32, CX; \
tail1part: \
	TESTQ $31, DX; \
	JZ   rest1sum; \
	VMASKMOVPS (SI)(CX*1), Y15, Y8; \
	ADDPART(R8, Y8, Y10, Y0)

#define STEP4 \
	VMOVUPS (SI)(CX*1), Y8; \
	VMOVUPS 32(SI)(CX*1), Y9; \
	ADD(R8, 0, Y8, Y10, Y0); \
	ADD(R9, 0, Y8, Y11, Y1); \
	ADD(R10, 0, Y8, Y12, Y2); \
	ADD(R11, 0, Y8, Y13, Y3); \
	ADD(R8, 32, Y9, Y10, Y4); \
	ADD(R9, 32, Y9, Y11, Y5); \
	ADD(R10, 32, Y9, Y12, Y6); \
	ADD(R11, 32, Y9, Y13, Y7)

#define STEP1 \
	VMOVUPS (SI)(CX*1), Y8; \
	VMOVUPS 32(SI)(CX*1), Y9; \
	ADD(R8, 0, Y8, Y10, Y0); \
	ADD(R8, 32, Y9, Y11, Y4)

// ADD adds the part of the row at r + off + CX, with the part q of the query, to acc.
#define ADD(r, off, q, tmp, acc) \
	VFMADD231PS off(r)(CX*1), q, acc

#define ADDPART(r, q, tmp, acc) \
	VMASKMOVPS (r)(CX*1), Y15, tmp; \
	VFMADD231PS tmp, q, acc

// func dotF32AVX2(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)
TEXT ·dotF32AVX2(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"

#undef ADD
#undef ADDPART

#define ADD(r, off, q, tmp, acc) \
	VSUBPS off(r)(CX*1), q, tmp; \
	VFMADD231PS tmp, tmp, acc

#define ADDPART(r, q, tmp, acc) \
	VMASKMOVPS (r)(CX*1), Y15, tmp; \
	VSUBPS tmp, q, tmp; \
	VFMADD231PS tmp, tmp, acc

// func l2F32AVX2(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)
TEXT ·l2F32AVX2(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"
