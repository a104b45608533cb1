package rows

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowSum is what one row adds to the checksum of its block: the CRC-32C of its
// bytes and its slot, through a bijective mixer (SplitMix64's finaliser, Steele
// et al. 2014). The checksum of a block is the sum of that over its rows, modulo
// 2^64: it does not depend on the order in which rows came, so it grows with
// each append from the bytes that the caller gave, and nothing is ever read
// back to be checksummed. One changed row changes the sum wherever it changes the
// CRC-32C; without the mixer, equal damage to two rows could cancel out.
func rowSum(row []byte, slot uint64) uint64 {
	x := uint64(crc32.Checksum(row, castagnoli))<<32 | slot
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// blockSum adds up the rows present in data, which begins with slot 0.
func blockSum(data []byte, rowBytes int, words []uint64) (sum uint64) {
	for slot := range high(words) {
		if words[slot/64]&(1<<(slot%64)) != 0 {
			off := int(slot) * rowBytes
			sum += rowSum(data[off:off+rowBytes], slot)
		}
	}
	return sum
}
