//! `expand[]`: ids in an answer that are replaced by the objects they name.

use serde_json::Value;

use super::form::Params;
use super::refusal::Refusal;
use super::world::World;

impl World {
    /// Replaces what the request asked for; a path that leads nowhere is refused.
    pub(super) fn expand(&self, answer: &mut Value, params: &Params) -> Result<(), Refusal> {
        for path in params.list("expand") {
            let parts: Vec<&str> = path.split('.').collect();
            if !self.grow(answer, &parts) {
                let message = format!("This property cannot be expanded ({path}).");
                return Err(Refusal::rule("expand", &message));
            }
        }
        Ok(())
    }

    fn grow(&self, value: &mut Value, path: &[&str]) -> bool {
        let [first, rest @ ..] = path else { return true };
        if let (&"data", Some(rows)) = (first, value.get_mut("data").and_then(Value::as_array_mut)) {
            return rows.iter_mut().all(|row| self.grow(row, rest));
        }
        self.include(value, first);
        let Some(field) = value.get_mut(*first) else { return false };
        if let Some(object) = field.as_str().and_then(|id| self.shown(id)) {
            *field = object;
        }
        field.is_null() || self.grow(field, rest)
    }

    /// Fields that objects have only where they were asked for.
    fn include(&self, value: &mut Value, name: &str) {
        if name == "payments" && value["object"] == "invoice" && value.get("payments").is_none() {
            let invoice = value["id"].as_str().and_then(|id| self.invoices.serial(id));
            if let Some(invoice) = invoice {
                value["payments"] = self.invoice_payments_json(invoice);
            }
        }
    }

    /// The object with that id, of any kind that can be named in another.
    fn shown(&self, id: &str) -> Option<Value> {
        let kind = id.rfind('_').map_or(id, |end| &id[..end]);
        match kind {
            "cus" => self.customers.serial(id).map(|serial| self.customer_json(serial)),
            "pm" => self.methods.serial(id).map(|serial| self.method_json(serial)),
            "price" => self.prices.serial(id).map(|serial| self.price_json(serial)),
            "sub" => self.subscriptions.serial(id).map(|serial| self.subscription_json(serial)),
            "sub_sched" => self.schedules.serial(id).map(|serial| self.schedule_json(serial)),
            "in" => self.invoices.serial(id).map(|serial| self.invoice_json(serial)),
            "pi" => self.payments.serial(id).map(|serial| self.payment_json(serial)),
            "ch" => self.charge_serial(id).map(|serial| self.charge_json(serial)),
            _ => self.products.contains_key(id).then(|| self.product_json(id)),
        }
    }
}
