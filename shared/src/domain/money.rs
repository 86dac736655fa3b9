//! Money: whole minor units of a currency, never a fraction.
//!
//! To add a currency: a variant, its code, and its exponent if that is not two.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A currency, by its ISO 4217 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Currency {
    /// US dollars, in cents.
    Usd,
    /// Indian rupees, in paise.
    Inr,
}

impl Currency {
    /// Its code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Inr => "INR",
        }
    }

    /// How many decimals the major unit has; none for currencies without a minor unit.
    pub const fn exponent(self) -> usize {
        match self {
            Self::Usd | Self::Inr => 2,
        }
    }
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// In minor units: cents, paise.
    #[serde(rename = "amount_minor")]
    pub minor: i64,
    /// ISO 4217.
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
        let money = Money { minor: 79_900, currency: Currency::Inr };
        assert_eq!(
            serde_json::to_value(money).unwrap(),
            serde_json::json!({"amount_minor": 79_900, "currency": "INR"})
        );
        assert_eq!(money.to_string(), "INR 799.00");
        for currency in [Currency::Usd, Currency::Inr] {
            assert_eq!(serde_json::to_value(currency).unwrap(), currency.code());
        }
    }
}
