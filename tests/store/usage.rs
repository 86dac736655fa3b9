//! What accounts use, counted from what is stored.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::workflow::{Attempt, Command};
use shared::on;
use shared::store::usage::{self, InUse};

use super::{begin, claim, order, planned};
use crate::harness::engines::both_engines;

both_engines! {
    async fn running_steps_and_the_size_of_outputs_are_counted_for_each_account(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let mut tx = begin(&app).await;
        let nothing = InUse { agents: 0, storage: 0 };
        assert_eq!(usage::in_use(&mut tx, ada).await.expect("a count"), nothing);
        drop(tx);
        let (one, other) = (planned(&app, ada, 3).await, planned(&app, ada, 1).await);
        let of_eve = planned(&app, eve, 1).await;
        for (workflow, step) in [(one, "s000"), (one, "s001"), (other, "s000"), (of_eve, "s000")] {
            claim(&app, workflow, step).await;
        }
        // Four letters of which each takes two bytes.
        let done = Attempt { step: "s000".to_owned(), number: 1 };
        order(&app, one, Command::Complete { at: done, output: json!({"text": "äöüß"}) }).await;
        let mut tx = begin(&app).await;
        let of_ada = usage::in_use(&mut tx, ada).await.expect("a count");
        assert_eq!(of_ada.agents, 2);
        // One engine stores it without the space behind the colon.
        let least = r#"{"text":"äöüß"}"#.len() as i64;
        assert!((least..=least + 1).contains(&of_ada.storage), "{of_ada:?}");
        assert_eq!(usage::in_use(&mut tx, eve).await.expect("a count"), InUse { agents: 1, storage: 0 });
    }

    async fn costs_are_summed_from_a_time_on(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let begun = app.clock.now();
        for cost in [3, 40] {
            let id = planned(&app, ada, 1).await;
            let mut tx = begin(&app).await;
            on!(tx, |c| {
                let sql = "update workflows set cost = $2 where id = $1";
                let query = sqlx::query(sql).bind(id).bind(i64::from(cost));
                query.execute(&mut *c).await.expect("a change").rows_affected()
            });
            tx.commit().await.expect("a commit");
            app.clock.advance(TimeDelta::days(1));
        }
        let mut tx = begin(&app).await;
        for (days, sum) in [(0, 43), (1, 40), (2, 0)] {
            let since = begun + TimeDelta::days(days);
            assert_eq!(usage::cost(&mut tx, ada, since).await.expect("a sum"), sum, "{days}");
        }
    }
}
