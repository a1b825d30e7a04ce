//! Plain Gorilla: differences of differences of time, XORs of values. To compare with; it trusts its input.

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    word: u128,
    waiting: u32,
}

impl Bits {
    fn push(&mut self, value: u64, count: u32) {
        self.word = self.word << count | u128::from(value & (u64::MAX >> (64 - count)));
        self.waiting += count;
        while self.waiting >= 8 {
            self.waiting -= 8;
            self.bytes.push((self.word >> self.waiting) as u8);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.push(0, 7);
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn read(&mut self, count: u32) -> u64 {
        let (byte, skip) = (self.at / 8, self.at as u32 % 8);
        let mut word = [0u8; 16];
        let end = (byte + 16).min(self.bytes.len());
        word[..end - byte].copy_from_slice(&self.bytes[byte..end]);
        self.at += count as usize;
        ((u128::from_be_bytes(word) << skip) >> (128 - count)) as u64
    }
}

const TIME_WIDTHS: [(u64, u32, u32); 3] = [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)];

fn push_time(bits: &mut Bits, change: i64) {
    if change == 0 {
        return bits.push(0, 1);
    }
    let fits = |width: u32| (-(1i64 << (width - 1)) + 1..=1 << (width - 1)).contains(&change);
    match TIME_WIDTHS.iter().find(|(_, _, width)| fits(*width)) {
        Some((prefix, length, width)) => {
            bits.push(*prefix, *length);
            bits.push(change as u64, *width);
        }
        None => {
            bits.push(0b1111, 4);
            bits.push(change as u64, 64);
        }
    }
}

fn read_time(bits: &mut Reader<'_>) -> i64 {
    let mut ones = 0;
    while ones < 4 && bits.read(1) == 1 {
        ones += 1;
    }
    match ones {
        0 => 0,
        4 => bits.read(64) as i64,
        class => {
            let width = TIME_WIDTHS[class - 1].2;
            let value = bits.read(width) as i64;
            if value > 1 << (width - 1) { value - (1 << width) } else { value }
        }
    }
}

pub(crate) fn encode(timestamps: &[i64], values: &[f64]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(timestamps.len() as u64, 16);
    let (mut time_ms, mut delta_ms, mut value) = (0, 0, 0);
    let (mut leading, mut trailing) = (64, 0);
    for (at, (next_ms, next)) in timestamps.iter().zip(values).enumerate() {
        let next = next.to_bits();
        if at == 0 {
            bits.push(*next_ms as u64, 64);
            bits.push(next, 64);
        } else {
            let delta = next_ms - time_ms;
            push_time(&mut bits, delta - delta_ms);
            delta_ms = delta;
            let xor = value ^ next;
            if xor == 0 {
                bits.push(0, 1);
            } else {
                let (before, behind) = (xor.leading_zeros().min(31), xor.trailing_zeros());
                if leading <= before && trailing <= behind {
                    bits.push(0b10, 2);
                } else {
                    (leading, trailing) = (before, behind);
                    bits.push(0b11, 2);
                    bits.push(u64::from(leading), 5);
                    bits.push(u64::from(64 - leading - trailing), 6);
                }
                bits.push(xor >> trailing, 64 - leading - trailing);
            }
        }
        (time_ms, value) = (*next_ms, next);
    }
    bits.finish()
}

pub(crate) fn decode(bytes: &[u8]) -> Vec<(i64, f64)> {
    let mut bits = Reader { bytes, at: 0 };
    let count = bits.read(16);
    let (mut time_ms, mut delta_ms, mut value) = (bits.read(64) as i64, 0, bits.read(64));
    let (mut leading, mut trailing) = (64, 0);
    let mut samples = vec![(time_ms, f64::from_bits(value))];
    for _ in 1..count {
        delta_ms += read_time(&mut bits);
        time_ms += delta_ms;
        if bits.read(1) == 1 {
            if bits.read(1) == 1 {
                leading = bits.read(5) as u32;
                let length = bits.read(6) as u32;
                trailing = 64 - leading - if length == 0 { 64 } else { length };
            }
            value ^= bits.read(64 - leading - trailing) << trailing;
        }
        samples.push((time_ms, f64::from_bits(value)));
    }
    samples
}
