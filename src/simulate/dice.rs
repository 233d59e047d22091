//! Randomness that is the same on every machine: ChaCha8, one stream for each actor, and only such arithmetic as
//! IEEE 754 fixes to the bit. Never the platform's `ln`, `exp` or `sin`, which differ in the last digit.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One actor's dice. Streams are independent, so an attack added to a company leaves its ordinary life unchanged.
#[derive(Debug, Clone)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of the actor `who` (number `index` of its kind) in the company of this seed.
    pub(super) fn new(seed: u64, who: &str, index: usize) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(fnv(who).wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        Self(rng)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; 0 for an empty range.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in low..=high.
    pub(super) fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Near enough to a standard normal: twelve uniforms less six.
    pub(super) fn normal(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..6 {
            let bits = self.bits();
            sum += (bits >> 32) as f64 + (bits & 0xffff_ffff) as f64;
        }
        sum / 4_294_967_296.0 - 6.0
    }

    /// Log-normal with this median.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// Exponential with this mean: the gap to a memoryless next event.
    pub(super) fn gap(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// A count with this mean.
    pub(super) fn poisson(&mut self, mean: f64) -> usize {
        if mean > 40.0 {
            return (mean + mean.sqrt() * self.normal() + 0.5).max(0.0) as usize;
        }
        let floor = exp(-mean);
        let (mut count, mut product) = (0, self.unit());
        while product > floor {
            count += 1;
            product *= self.unit();
        }
        count
    }

    /// `count` moments of `from..to` in order of time.
    pub(super) fn moments(&mut self, count: usize, from: i64, to: i64) -> Vec<i64> {
        let mut times: Vec<i64> = (0..count).map(|_| from + self.below((to - from).max(1) as usize) as i64).collect();
        times.sort_unstable();
        times
    }

    /// One of these; the slice must not be empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }

    /// Up to `count` different ones of these, in random order.
    pub(super) fn sample<T: Copy>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut all = items.to_vec();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// A random (version 4) UUID in lower case.
    pub(super) fn uuid(&mut self) -> String {
        uuid_text(self.bits(), self.bits())
    }

    /// 128 random bits: an object's version.
    pub(super) fn wide(&mut self) -> u128 {
        (u128::from(self.bits()) << 64) | u128::from(self.bits())
    }
}

/// The text of a version 4 UUID made of these bits.
pub(super) fn uuid_text(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// FNV-1a: names to stream numbers.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// e to the x, from sums and products alone.
fn exp(x: f64) -> f64 {
    const LN2: f64 = std::f64::consts::LN_2;
    let x = x.clamp(-600.0, 600.0);
    let k = (x / LN2 + 0.5).floor();
    let r = x - k * LN2;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..16 {
        term *= r / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((1023 + k as i64) as u64) << 52)
}

/// Natural logarithm of a positive normal number, from sums and products alone.
fn ln(x: f64) -> f64 {
    let bits = x.max(f64::MIN_POSITIVE).to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023u64 << 52));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let (square, mut power, mut sum) = (s * s, s, 0.0);
    for n in 0..18 {
        sum += power / f64::from(2 * n + 1);
        power *= square;
    }
    2.0 * sum + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_exp_and_ln_agree_with_the_library() {
        for i in -200..200 {
            let x = f64::from(i) / 13.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp({x})");
            let y = x.exp();
            assert!((ln(y) - y.ln()).abs() < 1e-12 * (1.0 + x.abs()), "ln({y})");
        }
    }

    #[test]
    fn the_stream_is_pinned() {
        let mut dice = Dice::new(42, "pinned", 7);
        let drawn: Vec<usize> = (0..8).map(|_| dice.below(1000)).collect();
        assert_eq!(drawn, PINNED, "a change here changes every simulated company and sample-logs");
        assert_ne!(Dice::new(42, "pinned", 8).bits(), Dice::new(42, "pinned", 7).bits());
        assert_ne!(Dice::new(43, "pinned", 7).bits(), Dice::new(42, "pinned", 7).bits());
    }

    const PINNED: [usize; 8] = [423, 82, 905, 356, 305, 833, 326, 343];

    #[test]
    fn counts_and_gaps_have_their_means() {
        let mut dice = Dice::new(1, "means", 0);
        for mean in [0.3, 4.0, 39.0, 400.0] {
            let total: usize = (0..4000).map(|_| dice.poisson(mean)).sum();
            assert!((total as f64 / 4000.0 / mean - 1.0).abs() < 0.06, "poisson {mean}");
        }
        let total: f64 = (0..8000).map(|_| dice.gap(5.0)).sum();
        assert!((total / 8000.0 - 5.0).abs() < 0.3);
    }

    #[test]
    fn a_sample_has_no_repeats() {
        let mut dice = Dice::new(1, "sample", 0);
        let all: Vec<u32> = (0..50).collect();
        let mut some = dice.sample(&all, 30);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 30);
    }
}
