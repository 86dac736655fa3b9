//! stripe-stateful-mock, a server by others that behaves like parts of Stripe, for what idempotency keys do.
//!
//! It keeps them like Stripe: an answer is given again for the same request, also an error 500, but not 401 and 429; with
//! another form the key is refused. Its charges fail on demand: the source `tok_500|tok_429|tok_visa|NAME` fails twice, each
//! time as its part says, and then pays. It knows no payment methods, no changes of subscriptions and no webhooks, and it
//! takes every price of a list for the one that is asked for.

use std::process::Command;

use super::counterpart::Counterpart;
use super::installed;

/// Its own command would listen on all interfaces.
const SERVE: &str = r#"require(process.argv[1]).createExpressApp().listen(Number(process.argv[2]), "127.0.0.1")"#;

/// A running stripe-stateful-mock without any data, stopped when dropped. It takes keys that begin with `sk_test_`.
pub struct StatefulMock(Counterpart);

impl StatefulMock {
    /// Starts it and waits until it answers.
    pub async fn start() -> Self {
        let server = Counterpart::start(|port, _| {
            let place = installed::emulate();
            let mut command = Command::new(place.join("node"));
            command.args(["-e", SERVE]).arg(place.join("node_modules/stripe-stateful-mock")).arg(port.to_string());
            command
        });
        Self(server.await)
    }

    /// The address to use as that of Stripe's API, without a slash at the end.
    pub fn base_url(&self) -> &str {
        self.0.base_url()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::harness::counterpart::{answer, posting};

    async fn keyed(mock: &StatefulMock, path: &str, form: &str, key: &str) -> (u16, Value) {
        let url = format!("{}{path}", mock.base_url());
        answer(posting(&url, form).header("Idempotency-Key", key)).await
    }

    #[tokio::test]
    async fn a_key_gives_the_same_answer_to_the_same_request_and_no_other() {
        let mock = StatefulMock::start().await;
        let form = "email=ann@example.com&metadata[user_id]=1";
        let (status, first) = keyed(&mock, "/v1/customers", form, "one").await;
        assert_eq!((status, &first["object"]), (200, &json!("customer")));
        assert_eq!(keyed(&mock, "/v1/customers", form, "one").await, (200, first.clone()));
        let (status, refused) = keyed(&mock, "/v1/customers", "email=bob@example.com", "one").await;
        assert_eq!((status, &refused["error"]["type"]), (400, &json!("idempotency_error")));
        let (_, second) = keyed(&mock, "/v1/customers", form, "two").await;
        assert_ne!(second["id"], first["id"]);
    }

    #[tokio::test]
    async fn a_key_keeps_an_error_500_but_not_a_429() {
        let mock = StatefulMock::start().await;
        for (source, statuses) in
            [("tok_429|tok_429|tok_visa|a", [429, 429, 200]), ("tok_500|tok_visa|b", [500, 500, 500])]
        {
            let form = format!("amount=100&currency=usd&source={source}");
            for status in statuses {
                assert_eq!(keyed(&mock, "/v1/charges", &form, source).await.0, status, "{source}");
            }
        }
    }
}
