#include "textflag.h"

// int8 with AVX-512 but without VNNI: 32 bytes at a time are widened to words,
// multiplied and added in pairs. Z0 to Z3 hold the sums of four rows, Z8 a part of the
// query, K1 the mask of the last, partial 32.

#define STEP 64
#define SHIFT 0

#define PREFETCH \
	PREFETCHT0 (R12)(CX*1); \
	PREFETCHT0 (R13)(CX*1); \
	PREFETCHT0 (R14)(CX*1); \
	PREFETCHT0 (R15)(CX*1)

// INIT sets the mask to the first dim%32 places.
#define INIT \
	MOVQ DX, CX; \
	ANDQ $31, CX; \
	MOVL $1, R8; \
	SHLL CX, R8; \
	DECL R8; \
	KMOVD R8, K1

#define ZERO \
	VPXORQ Z0, Z0, Z0; \
	VPXORQ Z1, Z1, Z1; \
	VPXORQ Z2, Z2, Z2; \
	VPXORQ Z3, Z3, Z3

#define REDUCE4 \
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

#define REDUCE1 \
	VEXTRACTI64X4 $1, Z0, Y4; \
	VPADDD Y4, Y0, Y0; \
	VPHADDD Y0, Y0, Y0; \
	VPHADDD Y0, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

// PART4 adds 32 bytes at CX + off.
#define PART4(off) \
	VPMOVSXBW off(SI)(CX*1), Z8; \
	ADD(R8, off, Z10, Z0); \
	ADD(R9, off, Z11, Z1); \
	ADD(R10, off, Z12, Z2); \
	ADD(R11, off, Z13, Z3)

#define PART1(off) \
	VPMOVSXBW off(SI)(CX*1), Z8; \
	ADD(R8, off, Z10, Z0)

#define STEP4 \
	PART4(0); \
	PART4(32)

#define STEP1 \
	PART1(0); \
	PART1(32)

#define TAIL4 \
	TESTQ $32, DX; \
	JZ   tail4part; \
	PART4(0); \
	ADDQ $32, CX; \
tail4part: \
	TESTQ $31, DX; \
	JZ   sum4; \
	VPMOVSXBW.Z (SI)(CX*1), K1, Z8; \
	ADDPART(R8, Z10, Z0); \
	ADDPART(R9, Z11, Z1); \
	ADDPART(R10, Z12, Z2); \
	ADDPART(R11, Z13, Z3)

#define TAIL1 \
	TESTQ $32, DX; \
	JZ   tail1part; \
	PART1(0); \
	ADDQ $32, CX; \
tail1part: \
	TESTQ $31, DX; \
	JZ   rest1sum; \
	VPMOVSXBW.Z (SI)(CX*1), K1, Z8; \
	ADDPART(R8, Z10, Z0)

// ADD adds 32 bytes of the row at r + off + CX to acc, ADDPART the masked last.
#define ADD(r, off, tmp, acc) \
	VPMOVSXBW off(r)(CX*1), tmp; \
	VPMADDWD Z8, tmp, tmp; \
	VPADDD tmp, acc, acc

#define ADDPART(r, tmp, acc) \
	VPMOVSXBW.Z (r)(CX*1), K1, tmp; \
	VPMADDWD Z8, tmp, tmp; \
	VPADDD tmp, acc, acc

// func dotI8AVX512(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·dotI8AVX512(SB), NOSPLIT, $32-56
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

#define ADD(r, off, tmp, acc) \
	VPMOVSXBW off(r)(CX*1), tmp; \
	VPSUBW Z8, tmp, tmp; \
	VPMADDWD tmp, tmp, tmp; \
	VPADDD tmp, acc, acc

#define ADDPART(r, tmp, acc) \
	VPMOVSXBW.Z (r)(CX*1), K1, tmp; \
	VPSUBW Z8, tmp, tmp; \
	VPMADDWD tmp, tmp, tmp; \
	VPADDD tmp, acc, acc

// func l2I8AVX512(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·l2I8AVX512(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"
