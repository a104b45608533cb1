#include "textflag.h"

// float32 with AVX-512. Z0 to Z3 and Z4 to Z7 hold two sums for each of four rows, Z8
// and Z9 parts of the query, K1 the mask of the last, partial sixteen.

#define STEP 128
#define SHIFT 2

#define PREFETCH \
	PREFETCHT0 (R12)(CX*1); \
	PREFETCHT0 64(R12)(CX*1); \
	PREFETCHT0 (R13)(CX*1); \
	PREFETCHT0 64(R13)(CX*1); \
	PREFETCHT0 (R14)(CX*1); \
	PREFETCHT0 64(R14)(CX*1); \
	PREFETCHT0 (R15)(CX*1); \
	PREFETCHT0 64(R15)(CX*1)

// INIT sets the mask to the first dim%16 places.
#define INIT \
	MOVQ DX, CX; \
	SHRQ $2, CX; \
	ANDQ $15, CX; \
	MOVL $1, R8; \
	SHLL CX, R8; \
	DECL R8; \
	KMOVW R8, K1

#define ZERO \
	VPXORQ Z0, Z0, Z0; \
	VPXORQ Z1, Z1, Z1; \
	VPXORQ Z2, Z2, Z2; \
	VPXORQ Z3, Z3, Z3; \
	VPXORQ Z4, Z4, Z4; \
	VPXORQ Z5, Z5, Z5; \
	VPXORQ Z6, Z6, Z6; \
	VPXORQ Z7, Z7, Z7

#define REDUCE4 \
	VADDPS Z4, Z0, Z0; \
	VADDPS Z5, Z1, Z1; \
	VADDPS Z6, Z2, Z2; \
	VADDPS Z7, Z3, Z3; \
	VEXTRACTF64X4 $1, Z0, Y4; \
	VEXTRACTF64X4 $1, Z1, Y5; \
	VEXTRACTF64X4 $1, Z2, Y6; \
	VEXTRACTF64X4 $1, Z3, Y7; \
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
	VADDPS Z4, Z0, Z0; \
	VEXTRACTF64X4 $1, Z0, Y4; \
	VADDPS Y4, Y0, Y0; \
	VHADDPS Y0, Y0, Y0; \
	VHADDPS Y0, Y0, Y0; \
	VEXTRACTF128 $1, Y0, X1; \
	VADDPS X1, X0, X0

// TAIL adds sixteen more if there are, then the partial sixteen, to the first sums.
#define TAIL4 \
	TESTQ $64, DX; \
	JZ   tail4part; \
	VMOVUPS (SI)(CX*1), Z8; \
	ADD(R8, 0, Z8, Z10, Z0); \
	ADD(R9, 0, Z8, Z11, Z1); \
	ADD(R10, 0, Z8, Z12, Z2); \
	ADD(R11, 0, Z8, Z13, Z3); \
	ADDQ $64, CX; \
tail4part: \
	TESTQ $63, DX; \
	JZ   sum4; \
	VMOVUPS.Z (SI)(CX*1), K1, Z8; \
	ADDPART(R8, Z8, Z10, Z0); \
	ADDPART(R9, Z8, Z11, Z1); \
	ADDPART(R10, Z8, Z12, Z2); \
	ADDPART(R11, Z8, Z13, Z3)

#define TAIL1 \
	TESTQ $64, DX; \
	JZ   tail1part; \
	VMOVUPS (SI)(CX*1), Z8; \
	ADD(R8, 0, Z8, Z10, Z0); \
	ADDQ $64, CX; \
tail1part: \
	TESTQ $63, DX; \
	JZ   rest1sum; \
	VMOVUPS.Z (SI)(CX*1), K1, Z8; \
	ADDPART(R8, Z8, Z10, Z0)

#define STEP4 \
	VMOVUPS (SI)(CX*1), Z8; \
	VMOVUPS 64(SI)(CX*1), Z9; \
	ADD(R8, 0, Z8, Z10, Z0); \
	ADD(R9, 0, Z8, Z11, Z1); \
	ADD(R10, 0, Z8, Z12, Z2); \
	ADD(R11, 0, Z8, Z13, Z3); \
	ADD(R8, 64, Z9, Z10, Z4); \
	ADD(R9, 64, Z9, Z11, Z5); \
	ADD(R10, 64, Z9, Z12, Z6); \
	ADD(R11, 64, Z9, Z13, Z7)

#define STEP1 \
	VMOVUPS (SI)(CX*1), Z8; \
	VMOVUPS 64(SI)(CX*1), Z9; \
	ADD(R8, 0, Z8, Z10, Z0); \
	ADD(R8, 64, Z9, Z11, Z4)

// ADD adds the part of the row at r + off + CX, with the part q of the query, to acc.
#define ADD(r, off, q, tmp, acc) \
	VFMADD231PS off(r)(CX*1), q, acc

#define ADDPART(r, q, tmp, acc) \
	VMOVUPS.Z (r)(CX*1), K1, tmp; \
	VFMADD231PS tmp, q, acc

// func dotF32AVX512(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)
TEXT ·dotF32AVX512(SB), NOSPLIT, $32-56
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
	VMOVUPS.Z (r)(CX*1), K1, tmp; \
	VSUBPS tmp, q, tmp; \
	VFMADD231PS tmp, tmp, acc

// func l2F32AVX512(q, rows *float32, dim int, ids *uint32, n, ahead int, out *float32)
TEXT ·l2F32AVX512(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"
