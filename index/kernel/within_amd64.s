#include "textflag.h"

// Bits of the rows within a linear bound, 64 rows a turn. Comparison 0x1A is "not
// greater than, or unordered", without a signal.
//
//	SI dots   R8 g   R9 s   R10 r   DI mask   CX rows left   BX offset in bytes
//	Z12 G   Z13 S   Z14 R   Z15 Limit

#define LOAD \
	MOVQ b+0(FP), AX; \
	MOVQ dots+8(FP), SI; \
	MOVQ gs+16(FP), R8; \
	MOVQ ss+24(FP), R9; \
	MOVQ rs+32(FP), R10; \
	MOVQ n+40(FP), CX; \
	MOVQ mask+48(FP), DI; \
	XORQ BX, BX

// Sixteen rows to bits in AX.
#define ROWS16(off) \
	VCVTDQ2PS off(SI)(BX*1), Z0; \
	VMULPS off(R9)(BX*1), Z0, Z0; \
	VMULPS off(R8)(BX*1), Z12, Z1; \
	VFMADD231PS off(R10)(BX*1), Z14, Z1; \
	VFMADD231PS Z0, Z13, Z1; \
	VCMPPS $0x1A, Z15, Z1, K1; \
	KMOVW K1, AX

// func withinAVX512(b *Bound, dots *int32, gs, ss, rs *float32, n int, mask *uint64)
TEXT ·withinAVX512(SB), NOSPLIT, $0-56
	LOAD
	VBROADCASTSS (AX), Z12
	VBROADCASTSS 4(AX), Z13
	VBROADCASTSS 8(AX), Z14
	VBROADCASTSS 12(AX), Z15
next512:
	ROWS16(0)
	MOVQ AX, DX
	ROWS16(64)
	SHLQ $16, AX
	ORQ  AX, DX
	ROWS16(128)
	SHLQ $32, AX
	ORQ  AX, DX
	ROWS16(192)
	SHLQ $48, AX
	ORQ  AX, DX
	MOVQ DX, (DI)
	ADDQ $8, DI
	ADDQ $256, BX
	SUBQ $64, CX
	JGT  next512
	VZEROUPPER
	RET

// Eight rows to bits in AX.
#define ROWS8(off) \
	VCVTDQ2PS off(SI)(BX*1), Y0; \
	VMULPS off(R9)(BX*1), Y0, Y0; \
	VMULPS off(R8)(BX*1), Y12, Y1; \
	VFMADD231PS off(R10)(BX*1), Y14, Y1; \
	VFMADD231PS Y0, Y13, Y1; \
	VCMPPS $0x1A, Y15, Y1, Y1; \
	VMOVMSKPS Y1, AX

// func withinAVX2(b *Bound, dots *int32, gs, ss, rs *float32, n int, mask *uint64)
TEXT ·withinAVX2(SB), NOSPLIT, $0-56
	LOAD
	VBROADCASTSS (AX), Y12
	VBROADCASTSS 4(AX), Y13
	VBROADCASTSS 8(AX), Y14
	VBROADCASTSS 12(AX), Y15
next256:
	ROWS8(0)
	MOVQ AX, DX
	ROWS8(32)
	SHLQ $8, AX
	ORQ  AX, DX
	ROWS8(64)
	SHLQ $16, AX
	ORQ  AX, DX
	ROWS8(96)
	SHLQ $24, AX
	ORQ  AX, DX
	ROWS8(128)
	SHLQ $32, AX
	ORQ  AX, DX
	ROWS8(160)
	SHLQ $40, AX
	ORQ  AX, DX
	ROWS8(192)
	SHLQ $48, AX
	ORQ  AX, DX
	ROWS8(224)
	SHLQ $56, AX
	ORQ  AX, DX
	MOVQ DX, (DI)
	ADDQ $8, DI
	ADDQ $256, BX
	SUBQ $64, CX
	JGT  next256
	VZEROUPPER
	RET
