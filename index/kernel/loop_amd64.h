// The walk over rows that all functions share. The file is included into each, with
// macros that say what is done with a part of a row:
//
//	STEP     bytes of a step, a power of two, 64 or more
//	SHIFT    log2 of the bytes of an element
//	INIT     prepare masks and constants; may use CX, R8 to R15
//	ZERO     clear the accumulators of four rows
//	STEP4    add the step at offset CX of the rows at R8, R9, R10, R11
//	STEP1    the same for the row at R8
//	TAIL4    add what is left from CX on, less than a step; may change CX
//	TAIL1    the same for the row at R8
//	REDUCE4  leave the four sums in X0
//	REDUCE1  leave the sum of the row at R8 in the low part of X0
//	PREFETCH prefetch the step at offset CX of the rows at R12, R13, R14, R15
//
// A row alone must be summed in the same order as one among four.
//
//	SI  query          DX  bytes of a row      CX       offset in the row
//	DI  row 0          BX  DX without tail     R8-R11   the rows at work
//	AX  place in ids                           R12-R15  the rows ahead
//
// Without ids, AX counts from 0 as if it were a pointer, four a row. The function
// has loaded SI, DI, DX (in elements), AX, and n in CX, ahead in R8, out in R9. BP is
// left alone, so that profilers can walk the stack.
//
// Four rows are worked through side by side while the four at the place ahead are
// prefetched, line by line, so that the memory is never idle; near the end the last
// four are prefetched again, which costs little. Places in ids are compared as signed
// numbers, because last begins before the first id if there are fewer than four.

	SHLQ $SHIFT, DX
	MOVQ DX, BX
	ANDQ $~(STEP-1), BX
	LEAQ -16(AX)(CX*4), CX
	MOVQ CX, last-8(SP)        // where the last four ids begin
	SHLQ $2, R8
	MOVQ R8, ahead-16(SP)      // in bytes of ids
	MOVQ AX, ids-24(SP)        // 0 if there are none
	MOVQ R9, out-32(SP)        // the next place
	INIT

next4:
	CMPQ AX, last-8(SP)
	JGT  rest
	MOVQ AX, R15               // the rows ahead, or the last four
	ADDQ ahead-16(SP), R15
	CMPQ R15, last-8(SP)
	CMOVQGT last-8(SP), R15
	CMPQ ids-24(SP), $0
	JEQ  range4
	MOVL (AX), R8
	MOVL 4(AX), R9
	MOVL 8(AX), R10
	MOVL 12(AX), R11
	MOVL (R15), R12
	MOVL 4(R15), R13
	MOVL 8(R15), R14
	MOVL 12(R15), R15
	IMULQ DX, R8
	IMULQ DX, R9
	IMULQ DX, R10
	IMULQ DX, R11
	IMULQ DX, R12
	IMULQ DX, R13
	IMULQ DX, R14
	IMULQ DX, R15
	ADDQ DI, R8
	ADDQ DI, R9
	ADDQ DI, R10
	ADDQ DI, R11
	ADDQ DI, R12
	ADDQ DI, R13
	ADDQ DI, R14
	ADDQ DI, R15
	JMP  begin4
range4:
	MOVQ AX, R8
	SHRQ $2, R8
	IMULQ DX, R8
	ADDQ DI, R8
	LEAQ (R8)(DX*1), R9
	LEAQ (R8)(DX*2), R10
	LEAQ (R9)(DX*2), R11
	MOVQ R15, R12
	SHRQ $2, R12
	IMULQ DX, R12
	ADDQ DI, R12
	LEAQ (R12)(DX*1), R13
	LEAQ (R12)(DX*2), R14
	LEAQ (R13)(DX*2), R15
begin4:
	ZERO
	XORQ CX, CX
	CMPQ CX, BX
	JGE  ahead4
step4:
	PREFETCH
	STEP4
	ADDQ $STEP, CX
	CMPQ CX, BX
	JLT  step4
ahead4:
	PREFETCHT0 -1(R12)(DX*1)
	PREFETCHT0 -1(R13)(DX*1)
	PREFETCHT0 -1(R14)(DX*1)
	PREFETCHT0 -1(R15)(DX*1)
	CMPQ CX, DX
	JEQ  sum4
	PREFETCHT0 (R12)(CX*1)
	PREFETCHT0 (R13)(CX*1)
	PREFETCHT0 (R14)(CX*1)
	PREFETCHT0 (R15)(CX*1)
tail4:
	TAIL4
sum4:
	REDUCE4
	MOVQ out-32(SP), CX
	VMOVUPS X0, (CX)
	ADDQ $16, out-32(SP)
	ADDQ $16, AX
	JMP  next4

	// Up to three rows are left.
rest:
	ADDQ $16, last-8(SP)
rest1:
	CMPQ AX, last-8(SP)
	JGE  done
	MOVQ AX, R8
	SHRQ $2, R8
	CMPQ ids-24(SP), $0
	JEQ  rest1row
	MOVL (AX), R8
rest1row:
	IMULQ DX, R8
	ADDQ DI, R8
	ZERO
	XORQ CX, CX
	CMPQ CX, BX
	JGE  rest1tail
rest1step:
	STEP1
	ADDQ $STEP, CX
	CMPQ CX, BX
	JLT  rest1step
rest1tail:
	CMPQ CX, DX
	JEQ  rest1sum
	TAIL1
rest1sum:
	REDUCE1
	MOVQ out-32(SP), CX
	VMOVSS X0, (CX)
	ADDQ $4, out-32(SP)
	ADDQ $4, AX
	JMP  rest1
done:
	VZEROUPPER
	RET
