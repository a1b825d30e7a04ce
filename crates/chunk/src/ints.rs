//! A stream of 64-bit integers: as they are, as differences, or as differences of differences; then packed in blocks.
//!
//! What remains after differencing is centred on its median and divided by its greatest common divisor, so that
//! multiples of a page size and steady rates both become small codes. One equal remainder is stored once. Blocks of 64
//! codes are packed at the width that costs least; codes too wide for it are patched. All arithmetic wraps.

use model::varint::{Cursor, push_signed, push_unsigned, unsigned_len, unzigzag, zigzag};

use crate::ChunkError;

const BLOCK_LEN: usize = 64;
/// At most one code in so many is patched.
const CODES_PER_PATCH: usize = 8;

/// The stream's first byte: the order of differencing in the low two bits, then two flags.
const ORDER_MASK: u8 = 0b11;
const FLAG_CONSTANT: u8 = 0b100;
const FLAG_DIVISOR: u8 = 0b1000;
const ORDER_MAX: u8 = 2;

/// A block's first byte: the width in the low seven bits, then a flag.
const WIDTH_MASK: u8 = 0x7f;
const FLAG_PATCHES: u8 = 0x80;

/// Appends a stream of at least one integer; the reader must know how many.
pub(crate) fn write(integers: &[i64], out: &mut Vec<u8>) {
    let mut rests = [integers.to_vec(), Vec::new(), Vec::new()];
    let mut order = 0;
    while order < usize::from(ORDER_MAX) && !is_constant(&rests[order]) {
        rests[order + 1] = differences(&rests[order]);
        order += 1;
    }
    if !is_constant(&rests[order]) {
        order = (0..rests.len()).min_by_key(|order| estimate_bits(&rests[*order])).unwrap_or(0);
    }
    let start = out.len();
    out.push(order as u8);
    rests[..order].iter().for_each(|rest| push_signed(out, rest[0]));
    let rest = &mut rests[order];
    if is_constant(rest) {
        out[start] |= FLAG_CONSTANT;
        push_signed(out, rest[0]);
        return;
    }
    let centre = median(rest);
    push_signed(out, centre);
    rest.iter_mut().for_each(|value| *value = value.wrapping_sub(centre));
    let divisor = common_divisor(rest);
    if divisor > 1 {
        out[start] |= FLAG_DIVISOR;
        push_unsigned(out, divisor as u64);
    }
    for block in rest.chunks(BLOCK_LEN) {
        let mut codes = [0; BLOCK_LEN];
        codes.iter_mut().zip(block).for_each(|(code, value)| *code = zigzag(value / divisor));
        write_block(&codes[..block.len()], out);
    }
}

/// Appends `count` integers of a stream, at least one.
pub(crate) fn read(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<(), ChunkError> {
    let header = cursor.byte()?;
    let order = header & ORDER_MASK;
    if order > ORDER_MAX || header > ORDER_MASK | FLAG_CONSTANT | FLAG_DIVISOR || usize::from(order) >= count
    {
        return Err(cursor.malformed("the header of an integer stream is unknown").into());
    }
    let mut firsts = [0; ORDER_MAX as usize];
    for first in firsts.iter_mut().take(usize::from(order)) {
        *first = cursor.signed()?;
    }
    let centre = cursor.signed()?;
    let (start, rests) = (out.len(), count - usize::from(order));
    if header & FLAG_CONSTANT != 0 {
        out.resize(start + rests, centre);
    } else {
        let divisor = if header & FLAG_DIVISOR == 0 { 1 } else { cursor.unsigned()? as i64 };
        for at in (0..rests).step_by(BLOCK_LEN) {
            let mut codes = [0; BLOCK_LEN];
            let block = &mut codes[..BLOCK_LEN.min(rests - at)];
            read_block(cursor, block)?;
            out.extend(block.iter().map(|code| unzigzag(*code).wrapping_mul(divisor).wrapping_add(centre)));
        }
    }
    for first in firsts[..usize::from(order)].iter().rev() {
        accumulate(*first, start, out);
    }
    Ok(())
}

/// Turns the differences behind `start` into the integers that begin with `first`; there is one more of these.
fn accumulate(first: i64, start: usize, out: &mut Vec<i64>) {
    let mut sum = first;
    for value in &mut out[start..] {
        let next = sum.wrapping_add(*value);
        *value = sum;
        sum = next;
    }
    out.push(sum);
}

fn differences(integers: &[i64]) -> Vec<i64> {
    integers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect()
}

fn is_constant(integers: &[i64]) -> bool {
    integers.iter().all(|value| *value == integers[0])
}

/// Estimates what a stream costs, from the distances to one of its members; the same bias for each candidate.
fn estimate_bits(integers: &[i64]) -> u64 {
    let centre = integers[integers.len() / 2];
    integers.iter().map(|value| u64::from(bit_len(zigzag(value.wrapping_sub(centre))))).sum()
}

fn median(integers: &[i64]) -> i64 {
    let mut sorted = integers.to_vec();
    let middle = sorted.len() / 2;
    *sorted.select_nth_unstable(middle).1
}

/// Returns the greatest common divisor of integers of which one is not zero; 1 when it would not fit.
fn common_divisor(integers: &[i64]) -> i64 {
    let mut divisor = 0u64;
    for value in integers {
        let (mut a, mut b) = (divisor, value.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    i64::try_from(divisor).unwrap_or(1)
}

fn bit_len(code: u64) -> u32 {
    64 - code.leading_zeros()
}

/// Returns the width at which a block costs least, and how many codes are wider.
fn choose_width(codes: &[u64]) -> (u32, usize) {
    let mut lengths = [0u8; 65];
    codes.iter().for_each(|code| lengths[bit_len(*code) as usize] += 1);
    let widest = lengths.iter().rposition(|count| *count > 0).unwrap_or(0);
    let (mut best, mut best_bytes) = ((widest as u32, 0), (codes.len() * widest).div_ceil(8));
    let mut patches = 0;
    for width in (0..widest).rev() {
        patches += usize::from(lengths[width + 1]);
        if patches > codes.len() / CODES_PER_PATCH {
            break;
        }
        let patch_bytes: usize =
            (width + 1..=widest).map(|len| usize::from(lengths[len]) * (1 + (len - width).div_ceil(7))).sum();
        let bytes = (codes.len() * width).div_ceil(8) + 1 + patch_bytes;
        if bytes < best_bytes {
            (best, best_bytes) = ((width as u32, patches), bytes);
        }
    }
    best
}

fn write_block(codes: &[u64], out: &mut Vec<u8>) {
    let (width, patches) = choose_width(codes);
    out.push(width as u8 | if patches > 0 { FLAG_PATCHES } else { 0 });
    let mask = low_bits(width);
    let (mut word, mut filled) = (0u128, 0);
    for code in codes {
        word |= u128::from(code & mask) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..(filled as usize).div_ceil(8)]);
    if patches > 0 {
        out.push(patches as u8);
        for (position, code) in codes.iter().enumerate().filter(|(_, code)| **code > mask) {
            out.push(position as u8);
            debug_assert!(unsigned_len(code >> width) <= 10, "a patch is a varint");
            push_unsigned(out, code >> width);
        }
    }
}

fn read_block(cursor: &mut Cursor<'_>, codes: &mut [u64]) -> Result<(), ChunkError> {
    let header = cursor.byte()?;
    let width = u32::from(header & WIDTH_MASK);
    if width > 64 {
        return Err(cursor.malformed("a block is wider than 64 bits").into());
    }
    let packed = cursor.take((codes.len() * width as usize).div_ceil(8))?;
    unpack(packed, width, codes);
    if header & FLAG_PATCHES == 0 {
        return Ok(());
    }
    let patches = cursor.byte()?;
    for _ in 0..patches {
        let position = usize::from(cursor.byte()?);
        let high = cursor.unsigned()?;
        let code = codes.get_mut(position).ok_or_else(|| cursor.malformed("a patch lies past its block"))?;
        *code |= high.checked_shl(width).unwrap_or(0);
    }
    Ok(())
}

/// Unpacks codes of one width, lowest bits first. `packed` holds exactly their bytes.
fn unpack(packed: &[u8], width: u32, codes: &mut [u64]) {
    // Sixteen bytes of slack, so that the last code is read like the first.
    let mut padded = [0u8; BLOCK_LEN * 8 + 16];
    padded[..packed.len()].copy_from_slice(packed);
    let (width, mask) = (width as usize, low_bits(width));
    for (index, code) in codes.iter_mut().enumerate() {
        let bit = index * width;
        let (byte, shift) = (bit / 8, bit % 8);
        *code = if width <= 56 {
            let window = padded[byte..byte + 8].try_into().expect("the window has eight bytes");
            (u64::from_le_bytes(window) >> shift) & mask
        } else {
            let window = padded[byte..byte + 16].try_into().expect("the window has sixteen bytes");
            (u128::from_le_bytes(window) >> shift) as u64 & mask
        };
    }
}

fn low_bits(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(integers: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(integers, &mut bytes);
        let mut back = vec![7];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(read(&mut cursor, integers.len(), &mut back), Ok(()));
        assert_eq!((back[0], &back[1..], cursor.remaining()), (7, integers, 0));
        bytes
    }

    #[test]
    fn steady_streams_take_a_few_bytes() {
        assert_eq!(encoded(&[5; 1000]), [FLAG_CONSTANT, 10]);
        let steady: Vec<i64> = (0..1000).map(|i| 3 + i * 2).collect();
        assert_eq!(encoded(&steady), [1 | FLAG_CONSTANT, 6, 4]);
        let squares: Vec<i64> = (0..1000).map(|i| i * i).collect();
        assert_eq!(encoded(&squares), [2 | FLAG_CONSTANT, 0, 2, 4]);
    }

    #[test]
    fn a_common_divisor_is_taken_out() {
        let pages: Vec<i64> = (0..64).map(|i| 1_000_003 + 4096 * (i * 37 % 16)).collect();
        assert!(encoded(&pages).len() < 64, "six bits a page and a header");
    }

    #[test]
    fn outliers_are_patched() {
        let mut spiky: Vec<i64> = (0..64).map(|i| i * 7 % 4).collect();
        spiky[20] = 1 << 40;
        assert!(encoded(&spiky).len() < 40, "one spike does not widen the block");
    }

    #[test]
    fn extremes_wrap() {
        encoded(&[i64::MIN, i64::MAX, 0, i64::MIN, -1, i64::MAX]);
        encoded(&[i64::MIN, 0, i64::MIN, 0]);
        encoded(&[i64::MAX]);
    }

    proptest! {
        #[test]
        fn any_integers_round_trip(
            integers in prop::collection::vec(any::<i64>(), 1..200),
            shift in 0u32..64,
            factor in 1i64..5000,
        ) {
            let integers: Vec<i64> = integers.iter().map(|value| (value >> shift).wrapping_mul(factor)).collect();
            encoded(&integers);
        }
    }
}
