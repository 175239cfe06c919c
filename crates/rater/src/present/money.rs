//! Amounts of money: exact, never rounded for display, with at least the currency's usual decimal places.

use rust_decimal::Decimal;

/// `£3.17`, `-£0.35`, `CHF 1.50`.
pub(crate) fn money(currency: &str, amount: Decimal) -> String {
    let places = usual_places(currency);
    let sign = if amount.is_sign_negative() && !amount.is_zero() { "-" } else { "" };
    let digits = decimal(amount.abs(), places);
    match symbol(currency) {
        Some(symbol) => format!("{sign}{symbol}{digits}"),
        None => format!("{sign}{currency} {digits}"),
    }
}

/// A decimal without needless zeros but with at least `places` decimal places.
pub(crate) fn decimal(value: Decimal, places: u32) -> String {
    let mut value = value.normalize();
    if value.scale() < places {
        value.rescale(places);
    }
    value.to_string()
}

fn symbol(currency: &str) -> Option<&'static str> {
    match currency {
        "GBP" => Some("£"),
        "EUR" => Some("€"),
        "USD" => Some("$"),
        "JPY" => Some("¥"),
        "INR" => Some("₹"),
        "KRW" => Some("₩"),
        "ILS" => Some("₪"),
        "UAH" => Some("₴"),
        "TRY" => Some("₺"),
        "VND" => Some("₫"),
        "NGN" => Some("₦"),
        _ => None,
    }
}

/// Minor units as ISO 4217 lists them.
fn usual_places(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit_and_get_the_usual_ones() {
        let cases = [
            ("GBP", "3.17", "£3.17"),
            ("GBP", "-0.35", "-£0.35"),
            ("GBP", "1.6", "£1.60"),
            ("GBP", "0.0000004", "£0.0000004"),
            ("GBP", "-0.00", "£0.00"),
            ("JPY", "12", "¥12"),
            ("JPY", "12.50", "¥12.5"),
            ("KWD", "1.5", "KWD 1.500"),
            ("CHF", "-1.5", "-CHF 1.50"),
            ("EUR", "1234567.891", "€1234567.891"),
        ];
        for (code, amount, expected) in cases {
            let amount: Decimal = amount.parse().unwrap();
            assert_eq!(money(code, amount), expected);
        }
    }
}
