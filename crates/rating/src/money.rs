//! Money: amounts at a fixed scale, exact rationals, unit prices, and the one rounding of a charge (rule 11).
//!
//! An [`Amount`] is a scaled integer (10 decimal places, as on the wire); [`Decimal`] is the type at the public edge. Between
//! a price and a charge stands an [`Exact`] rational, so that nothing is rounded before the one rounding.

use rust_decimal::Decimal;
use std::fmt;

/// Decimal places of an [`Amount`] and of amounts on the wire (`decimal(28,10)`).
pub const AMOUNT_SCALE: u32 = 10;
const UNSCALED_LIMIT: i128 = 10_i128.pow(28);
/// The largest denominator of a compiled rate: keeps the rounding division inside 128 bits.
pub const MAX_DENOMINATOR: i128 = 10_i128.pow(27);

/// An amount of money in the currency of its context, exact to 10 decimal places, |amount| < 10^18.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(i128);

impl Amount {
    /// No money.
    pub const ZERO: Amount = Amount(0);

    /// From ten-billionths of the currency; `None` out of range.
    pub fn from_unscaled(unscaled: i128) -> Option<Amount> {
        (-UNSCALED_LIMIT < unscaled && unscaled < UNSCALED_LIMIT).then_some(Amount(unscaled))
    }

    /// The number of ten-billionths of the currency.
    pub fn unscaled(self) -> i128 {
        self.0
    }

    /// Exact conversion; `None` if the value has more than 10 decimal places or is out of range.
    pub fn from_decimal(value: Decimal) -> Option<Amount> {
        let value = value.normalize();
        let places = AMOUNT_SCALE.checked_sub(value.scale())?;
        Amount::from_unscaled(value.mantissa().checked_mul(10_i128.checked_pow(places)?)?)
    }

    /// The amount as a decimal without trailing zeros.
    pub fn to_decimal(self) -> Decimal {
        Decimal::try_from_i128_with_scale(self.0, AMOUNT_SCALE).map_or(Decimal::ZERO, |value| value.normalize())
    }

    /// Sum; `None` out of range.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        Amount::from_unscaled(self.0.checked_add(other.0)?)
    }

    /// Difference; `None` out of range.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        Amount::from_unscaled(self.0.checked_sub(other.0)?)
    }

    /// The amount with the other sign (the range is symmetric).
    #[must_use]
    pub fn negated(self) -> Amount {
        Amount(-self.0)
    }

    /// Whether this is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A sum of amounts: wider than an amount, so that what is added up for control never stands in the way of what is added.
/// Exact to 10 decimal places; more than ten billion of the largest amounts fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sum(i128);

impl Sum {
    /// No money.
    pub const ZERO: Sum = Sum(0);

    /// From ten-billionths of the currency.
    pub fn from_unscaled(unscaled: i128) -> Sum {
        Sum(unscaled)
    }

    /// The number of ten-billionths of the currency.
    pub fn unscaled(self) -> i128 {
        self.0
    }

    /// Sum; `None` out of range.
    pub fn checked_add(self, other: impl Into<Sum>) -> Option<Sum> {
        self.0.checked_add(other.into().0).map(Sum)
    }

    /// Difference; `None` out of range.
    pub fn checked_sub(self, other: impl Into<Sum>) -> Option<Sum> {
        self.0.checked_sub(other.into().0).map(Sum)
    }

    /// Whether the two add up to nothing.
    pub fn cancels(self, other: Sum) -> bool {
        self.0.checked_add(other.0) == Some(0)
    }

    /// Whether this is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The sum as a decimal without trailing zeros. Beyond the largest amounts a decimal has no room for all places: then as many
    /// as it holds; [`fmt::Display`] writes them all.
    pub fn to_decimal(self) -> Decimal {
        let (mut unscaled, mut scale) = (self.0, AMOUNT_SCALE);
        loop {
            match Decimal::try_from_i128_with_scale(unscaled, scale) {
                Ok(value) => return value.normalize(),
                Err(_) if scale == 0 => return Decimal::ZERO,
                Err(_) => (unscaled, scale) = (unscaled / 10, scale - 1),
            }
        }
    }
}

impl From<Amount> for Sum {
    fn from(amount: Amount) -> Sum {
        Sum(amount.0)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u128.pow(AMOUNT_SCALE);
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:010}", magnitude % one);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{point}{fraction}", magnitude / one)
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How the one rounding of a charge is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundingMode {
    /// To nearest, ties away from zero.
    HalfUp,
    /// To nearest, ties to the even digit.
    HalfEven,
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
}

/// Scale and mode of a charge's rounding; scale 6, half-up unless the tariff says otherwise (rule 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    scale: u32,
    mode: RoundingMode,
}

impl Rounding {
    /// Decimal places 0 to 10; `None` beyond.
    pub fn new(scale: u32, mode: RoundingMode) -> Option<Rounding> {
        (scale <= AMOUNT_SCALE).then_some(Rounding { scale, mode })
    }

    /// Decimal places kept.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// The mode.
    pub fn mode(self) -> RoundingMode {
        self.mode
    }
}

impl Default for Rounding {
    fn default() -> Self {
        Rounding { scale: 6, mode: RoundingMode::HalfUp }
    }
}

/// An exact rational amount: `numerator / denominator`, denominator positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    numerator: i128,
    denominator: i128,
}

impl Exact {
    /// Nothing.
    pub const ZERO: Exact = Exact { numerator: 0, denominator: 1 };

    /// `None` unless 0 < denominator <= [`MAX_DENOMINATOR`].
    pub fn new(numerator: i128, denominator: i128) -> Option<Exact> {
        (0 < denominator && denominator <= MAX_DENOMINATOR).then_some(Exact { numerator, denominator })
    }

    /// The parts, for state that is written down.
    pub fn parts(self) -> (i128, i128) {
        (self.numerator, self.denominator)
    }

    /// Exact sum; `None` on overflow.
    pub fn checked_add(self, other: Exact) -> Option<Exact> {
        if self.denominator == other.denominator {
            let numerator = self.numerator.checked_add(other.numerator)?;
            return Some(Exact { numerator, denominator: self.denominator });
        }
        if self.numerator == 0 {
            return Some(other);
        }
        if other.numerator == 0 {
            return Some(self);
        }
        let common = lcm(self.denominator, other.denominator)?;
        let left = self.numerator.checked_mul(common / self.denominator)?;
        let right = other.numerator.checked_mul(common / other.denominator)?;
        Exact::new(left.checked_add(right)?, common)
    }

    /// The one rounding (rule 11); `None` if the result is out of an amount's range.
    pub fn round(self, rounding: Rounding) -> Option<Amount> {
        let steps = POWERS_OF_TEN[rounding.scale as usize];
        let to_amount = POWERS_OF_TEN[(AMOUNT_SCALE - rounding.scale) as usize];
        if let (Ok(numerator), Ok(denominator)) = (u64::try_from(self.numerator), u64::try_from(self.denominator))
            && let Some(scaled) = numerator.checked_mul(steps as u64)
        {
            let away = rounds_away(
                rounding.mode,
                u128::from(scaled % denominator),
                u128::from(denominator),
                (scaled / denominator) & 1 == 1,
            );
            let rounded = i128::from(scaled / denominator) + i128::from(away);
            return Amount::from_unscaled(rounded * to_amount);
        }
        // Whole and fractional part apart: the fraction's product stays below MAX_DENOMINATOR x 10^10 < 2^127.
        let magnitude = self.numerator.unsigned_abs();
        let denominator = self.denominator.unsigned_abs();
        let whole = (magnitude / denominator).checked_mul(steps.unsigned_abs())?;
        let fraction = (magnitude % denominator).checked_mul(steps.unsigned_abs())?;
        let floor = whole.checked_add(fraction / denominator)?;
        let away = rounds_away(rounding.mode, fraction % denominator, denominator, floor & 1 == 1);
        let rounded = i128::try_from(floor.checked_add(u128::from(away))?).ok()?;
        let signed = if self.numerator < 0 { -rounded } else { rounded };
        Amount::from_unscaled(signed.checked_mul(to_amount)?)
    }

    /// The value at an amount's full scale, for showing a segment; `None` out of range.
    pub fn shown(self) -> Option<Amount> {
        self.round(Rounding { scale: AMOUNT_SCALE, mode: RoundingMode::HalfUp })
    }
}

impl From<Amount> for Exact {
    fn from(amount: Amount) -> Exact {
        Exact { numerator: amount.0, denominator: POWERS_OF_TEN[AMOUNT_SCALE as usize] }
    }
}

const POWERS_OF_TEN: [i128; 11] = {
    let mut powers = [1_i128; 11];
    let mut i = 1;
    while i < 11 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

fn rounds_away(mode: RoundingMode, remainder: u128, denominator: u128, odd: bool) -> bool {
    if remainder == 0 {
        return false;
    }
    let twice = remainder * 2; // remainder < denominator <= 10^27
    match mode {
        RoundingMode::HalfUp => twice >= denominator,
        RoundingMode::HalfEven => twice > denominator || (twice == denominator && odd),
        RoundingMode::Up => true,
        RoundingMode::Down => false,
    }
}

/// An exact decimal price for a number of base units: 0.20 per 1,000,000 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitPrice {
    price: Decimal,
    per_units: u64,
}

impl UnitPrice {
    /// `None` if `per_units` is 0.
    pub fn new(price: Decimal, per_units: u64) -> Option<UnitPrice> {
        (per_units > 0).then(|| UnitPrice { price: price.normalize(), per_units })
    }

    /// The price of [`UnitPrice::per_units`] base units.
    pub fn price(&self) -> Decimal {
        self.price
    }

    /// How many base units the price is for.
    pub fn per_units(&self) -> u64 {
        self.per_units
    }

    /// Exact sum of two unit prices (a mark-up, rule 14), at the smaller common number of units; `None` on overflow.
    pub fn checked_add(&self, other: &UnitPrice) -> Option<UnitPrice> {
        let common = lcm(i128::from(self.per_units), i128::from(other.per_units))?;
        let scaled = |unit: &UnitPrice| {
            let product = unit.price.checked_mul(whole(common / i128::from(unit.per_units))?)?;
            // A smaller scale would mean that digits were rounded away.
            (product.scale() == unit.price.scale()).then_some(product)
        };
        let (left, right) = (scaled(self)?, scaled(other)?);
        let sum = left.checked_add(right)?;
        (sum.scale() == left.scale().max(right.scale())).then_some(())?;
        UnitPrice::new(sum, u64::try_from(common).ok()?)
    }

    /// The price of one base unit as a fraction in lowest terms; `None` on overflow.
    pub(crate) fn per_unit(&self) -> Option<(i128, i128)> {
        fraction(self.price, self.per_units)
    }
}

/// `value / per` as a fraction in lowest terms.
pub(crate) fn fraction(value: Decimal, per: u64) -> Option<(i128, i128)> {
    let numerator = value.mantissa();
    let denominator = 10_i128.checked_pow(value.scale())?.checked_mul(i128::from(per))?;
    let divisor = gcd(numerator.abs(), denominator).max(1);
    Some((numerator / divisor, denominator / divisor))
}

pub(crate) fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

pub(crate) fn lcm(a: i128, b: i128) -> Option<i128> {
    (a / gcd(a, b).max(1)).checked_mul(b)
}

/// An integer as a decimal; `None` beyond 96 bits.
fn whole(value: i128) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(value, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numerator: i128, denominator: i128, scale: u32, mode: RoundingMode, expected: &str) {
        let rounding = Rounding::new(scale, mode).unwrap();
        let rounded = Exact::new(numerator, denominator).unwrap().round(rounding).unwrap();
        assert_eq!(rounded.to_string(), expected, "{numerator}/{denominator} at {scale} {mode:?}");
    }

    #[test]
    fn rounding_table() {
        check(1, 2, 0, RoundingMode::HalfUp, "1");
        check(1, 2, 0, RoundingMode::HalfEven, "0");
        check(3, 2, 0, RoundingMode::HalfEven, "2");
        check(-1, 2, 0, RoundingMode::HalfUp, "-1");
        check(1, 3, 6, RoundingMode::Up, "0.333334");
        check(2, 3, 6, RoundingMode::Down, "0.666666");
        check(7 * 10, 60 * 100, 6, RoundingMode::HalfUp, "0.011667"); // case 29: 0.10 a minute, 7 s
        check(10, 1000, 2, RoundingMode::HalfUp, "0.01"); // case 34: 0.005 + 0.005
        let big = 10_i128.pow(27);
        check(big * 3 + big / 2, big, 0, RoundingMode::HalfUp, "4");
        check(-(big * 3 + big / 2), big, 0, RoundingMode::Down, "-3");
    }

    #[test]
    fn rounding_beyond_the_range_is_an_answer() {
        assert_eq!(Exact::new(i128::MAX, 1).unwrap().round(Rounding::default()), None);
        assert_eq!(Exact::new(10_i128.pow(18), 1).unwrap().round(Rounding::default()), None);
        assert!(Exact::new(10_i128.pow(18) - 1, 1).unwrap().round(Rounding::default()).is_some());
    }

    #[test]
    fn fast_and_wide_rounding_agree() {
        let mut x: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..20_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let numerator = i128::from(x >> 24);
            let denominator = i128::from((x & 0xffff_ffff) | 1);
            for mode in [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Up, RoundingMode::Down] {
                let rounding = Rounding::new((x % 7) as u32, mode).unwrap();
                let fast = Exact::new(numerator, denominator).unwrap().round(rounding);
                let wide = Exact::new(numerator << 40, denominator << 40).unwrap().round(rounding);
                assert_eq!(fast, wide, "{numerator}/{denominator} {rounding:?}");
            }
        }
    }

    #[test]
    fn unit_prices_add_exactly() {
        let minute = UnitPrice::new(Decimal::new(10, 2), 60).unwrap();
        let second = UnitPrice::new(Decimal::ONE, 1).unwrap();
        let sum = minute.checked_add(&second).unwrap();
        assert_eq!((sum.price().to_string(), sum.per_units()), ("60.1".to_owned(), 60));
    }

    #[test]
    fn sums_go_on_where_amounts_end_and_show_every_digit() {
        let largest = Amount(UNSCALED_LIMIT - 1);
        assert_eq!(largest.checked_add(largest), None);
        let sum = Sum::from(largest).checked_add(largest).unwrap();
        assert_eq!(sum.to_string(), "1999999999999999999.9999999998");
        assert!(sum.cancels(Sum::ZERO.checked_sub(largest).unwrap().checked_sub(largest).unwrap()));
        assert!(!sum.cancels(Sum::ZERO) && !sum.cancels(sum));
        for (unscaled, text) in [(0, "0"), (-1, "-0.0000000001"), (31_700_000_000, "3.17"), (-10_000_000_000, "-1")] {
            let sum = Sum::from_unscaled(unscaled);
            assert_eq!((sum.to_string(), sum.to_decimal().to_string()), (text.to_owned(), text.to_owned()));
        }
        assert_eq!(Sum::from_unscaled(i128::MAX).checked_add(largest), None);
        assert_eq!(Sum::from_unscaled(i128::MIN).to_string(), "-17014118346046923173168730371.5884105728");
        // A decimal has 29 digits: what does not fit is left out at the end, and nowhere else.
        assert_eq!(Sum::from_unscaled(i128::MIN).to_decimal().to_string(), "-17014118346046923173168730371");
    }
}
