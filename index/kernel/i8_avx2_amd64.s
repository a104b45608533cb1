#include "textflag.h"

// int8 with AVX2: sixteen bytes at a time are widened to words, multiplied and added
// in pairs. Y0 to Y3 hold the sums of four rows, Y8 a part of the query, Y15 the mask
// of the last, partial sixteen, which is read as the last sixteen bytes of the row with
// those masked out that have been counted. The dimension is 16 or more.

// 16 words of zero, 16 words of all ones.
DATA maskI8<>+0(SB)/8, $0
DATA maskI8<>+8(SB)/8, $0
DATA maskI8<>+16(SB)/8, $0
DATA maskI8<>+24(SB)/8, $0
DATA maskI8<>+32(SB)/8, $-1
DATA maskI8<>+40(SB)/8, $-1
DATA maskI8<>+48(SB)/8, $-1
DATA maskI8<>+56(SB)/8, $-1
GLOBL maskI8<>(SB), RODATA|NOPTR, $64

#define STEP 64
#define SHIFT 0

#define PREFETCH \
	PREFETCHT0 (R12)(CX*1); \
	PREFETCHT0 (R13)(CX*1); \
	PREFETCHT0 (R14)(CX*1); \
	PREFETCHT0 (R15)(CX*1)

// INIT sets the mask to the last dim%16 places.
#define INIT \
	MOVQ DX, R8; \
	ANDQ $15, R8; \
	LEAQ maskI8<>(SB), R9; \
	VMOVDQU (R9)(R8*2), Y15

#define ZERO \
	VPXOR Y0, Y0, Y0; \
	VPXOR Y1, Y1, Y1; \
	VPXOR Y2, Y2, Y2; \
	VPXOR Y3, Y3, Y3

#define REDUCE4 \
	VPHADDD Y1, Y0, Y0; \
	VPHADDD Y3, Y2, Y2; \
	VPHADDD Y2, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

#define REDUCE1 \
	VPHADDD Y0, Y0, Y0; \
	VPHADDD Y0, Y0, Y0; \
	VEXTRACTI128 $1, Y0, X1; \
	VPADDD X1, X0, X0

// PART4 adds sixteen bytes at CX + off.
#define PART4(off) \
	VPMOVSXBW off(SI)(CX*1), Y8; \
	ADD(R8, off, Y10, Y0); \
	ADD(R9, off, Y11, Y1); \
	ADD(R10, off, Y12, Y2); \
	ADD(R11, off, Y13, Y3)

#define PART1(off) \
	VPMOVSXBW off(SI)(CX*1), Y8; \
	ADD(R8, off, Y10, Y0)

#define STEP4 \
	PART4(0); \
	PART4(16); \
	PART4(32); \
	PART4(48)

#define STEP1 \
	PART1(0); \
	PART1(16); \
	PART1(32); \
	PART1(48)

#define TAIL4 \
	ADDQ $16, CX; \
	CMPQ CX, DX; \
	JGT  tail4part; \
tail4more: \
	PART4(-16); \
	ADDQ $16, CX; \
	CMPQ CX, DX; \
	JLE  tail4more; \
tail4part: \
	TESTQ $15, DX; \
	JZ   sum4; \
	VPMOVSXBW -16(SI)(DX*1), Y8; \
	MASKQ; \
	ADDPART(R8, Y10, Y0); \
	ADDPART(R9, Y11, Y1); \
	ADDPART(R10, Y12, Y2); \
	ADDPART(R11, Y13, Y3)

#define TAIL1 \
	ADDQ $16, CX; \
	CMPQ CX, DX; \
	JGT  tail1part; \
tail1more: \
	PART1(-16); \
	ADDQ $16, CX; \
	CMPQ CX, DX; \
	JLE  tail1more; \
tail1part: \
	TESTQ $15, DX; \
	JZ   rest1sum; \
	VPMOVSXBW -16(SI)(DX*1), Y8; \
	MASKQ; \
	ADDPART(R8, Y10, Y0)

// ADD adds sixteen bytes of the row at r + off + CX to acc, ADDPART the masked last.
#define ADD(r, off, tmp, acc) \
	VPMOVSXBW off(r)(CX*1), tmp; \
	VPMADDWD Y8, tmp, tmp; \
	VPADDD tmp, acc, acc

#define MASKQ VPAND Y15, Y8, Y8

#define ADDPART(r, tmp, acc) \
	VPMOVSXBW -16(r)(DX*1), tmp; \
	VPMADDWD Y8, tmp, tmp; \
	VPADDD tmp, acc, acc

// func dotI8AVX2(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·dotI8AVX2(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"

#undef ADD
#undef MASKQ
#undef ADDPART

#define ADD(r, off, tmp, acc) \
	VPMOVSXBW off(r)(CX*1), tmp; \
	VPSUBW Y8, tmp, tmp; \
	VPMADDWD tmp, tmp, tmp; \
	VPADDD tmp, acc, acc

#define MASKQ

#define ADDPART(r, tmp, acc) \
	VPMOVSXBW -16(r)(DX*1), tmp; \
	VPSUBW Y8, tmp, tmp; \
	VPAND Y15, tmp, tmp; \
	VPMADDWD tmp, tmp, tmp; \
	VPADDD tmp, acc, acc

// func l2I8AVX2(q, rows *int8, dim int, ids *uint32, n, ahead int, out *int32)
TEXT ·l2I8AVX2(SB), NOSPLIT, $32-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ dim+16(FP), DX
	MOVQ ids+24(FP), AX
	MOVQ n+32(FP), CX
	MOVQ ahead+40(FP), R8
	MOVQ out+48(FP), R9
#include "loop_amd64.h"
