//! Money: whole minor units of a currency, never a fraction.
//!
//! What we sell is priced in [`Currency::USD`] and [`Currency::INR`]; what Stripe bills may be in any other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A currency, by its ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Currencies whose minor unit is the major one, as Stripe counts them
/// (<https://docs.stripe.com/currencies#zero-decimal>). Stripe takes ISK and UGX with two decimals all the same.
const NO_DECIMALS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Currencies with three decimals (<https://docs.stripe.com/currencies#three-decimal>).
const THREE_DECIMALS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// A text that is no currency's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the code of a currency")]
pub struct NotACurrency(String);

impl Currency {
    /// US dollars, in cents.
    pub const USD: Self = Self(*b"USD");
    /// Indian rupees, in paise.
    pub const INR: Self = Self(*b"INR");

    /// Its code.
    pub fn code(&self) -> &str {
        // Three ASCII letters are always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many decimals the major unit has; none for currencies without a minor unit.
    pub fn exponent(self) -> usize {
        match self.code() {
            code if NO_DECIMALS.contains(&code) => 0,
            code if THREE_DECIMALS.contains(&code) => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    /// Reads a code in any case; Stripe writes them small.
    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        match text.as_bytes() {
            [a, b, c] if text.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                Ok(Self([a, b, c].map(u8::to_ascii_uppercase)))
            }
            _ => Err(NotACurrency(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = NotACurrency;

    fn try_from(text: String) -> Result<Self, NotACurrency> {
        text.parse()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// In minor units: cents, paise.
    #[serde(rename = "amount_minor")]
    pub minor: i64,
    /// ISO 4217.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "USD")]
    pub currency: Currency,
}

impl Money {
    /// The amount in major units, with all decimals that the currency has: `799.00`.
    pub fn decimal(self) -> String {
        decimal(self.minor, self.currency.exponent())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.code(), self.decimal())
    }
}

fn decimal(minor: i64, exponent: usize) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = exponent + 1);
    let (major, rest) = digits.split_at(digits.len() - exponent);
    if rest.is_empty() { format!("{sign}{major}") } else { format!("{sign}{major}.{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_with_all_decimals_of_its_currency() {
        for (minor, exponent, expected) in [
            (79_900, 2, "799.00"),
            (999, 2, "9.99"),
            (5, 2, "0.05"),
            (0, 2, "0.00"),
            (-5, 2, "-0.05"),
            (-12_345, 2, "-123.45"),
            // Yen have no minor unit, dinars have three decimals.
            (799, 0, "799"),
            (0, 0, "0"),
            (1_234, 3, "1.234"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ] {
            assert_eq!(decimal(minor, exponent), expected);
        }
    }

    #[test]
    fn money_has_one_form_in_json_and_one_for_people() {
        let money = Money { minor: 79_900, currency: Currency::INR };
        assert_eq!(
            serde_json::to_value(money).unwrap(),
            serde_json::json!({"amount_minor": 79_900, "currency": "INR"})
        );
        assert_eq!(money.to_string(), "INR 799.00");
    }

    #[test]
    fn a_currency_is_read_in_any_case_and_knows_its_decimals() {
        for (text, code, exponent) in
            [("usd", "USD", 2), ("Inr", "INR", 2), ("jpy", "JPY", 0), ("KWD", "KWD", 3), ("isk", "ISK", 2)]
        {
            let currency: Currency = text.parse().unwrap();
            assert_eq!((currency.code(), currency.exponent()), (code, exponent));
            assert_eq!(serde_json::from_value::<Currency>(serde_json::json!(text)).unwrap(), currency);
        }
        for text in ["", "us", "dollar", "U5D", "äb"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
        assert_eq!(Money { minor: 799, currency: "jpy".parse().unwrap() }.to_string(), "JPY 799");
    }
}
