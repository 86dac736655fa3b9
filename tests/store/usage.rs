//! What accounts use, and finding what was counted wrongly.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::workflow::{Attempt, Command};
use shared::ids::UserId;
use shared::job::{Job, Lane};
use shared::on;
use shared::store::usage::{self, InUse, Miscount};
use shared::store::{Tx, outbox};

use super::{begin, claim, order, planned};
use crate::harness::engines::both_engines;

async fn in_use(tx: &mut Tx, user: UserId) -> InUse {
    usage::in_use(tx, user).await.expect("a count")
}

both_engines! {
    async fn running_and_waiting_steps_and_the_size_of_outputs_are_counted_for_each_account(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        assert_eq!(in_use(&mut begin(&app).await, ada).await, InUse::default());
        let (one, other) = (planned(&app, ada, 3).await, planned(&app, ada, 1).await);
        let of_eve = planned(&app, eve, 1).await;
        for (workflow, step) in [(one, "s000"), (one, "s001"), (of_eve, "s000")] {
            claim(&app, workflow, step).await;
        }
        order(&app, other, Command::Claim { step: "s000".to_owned() }).await;
        // Four letters of which each takes two bytes.
        let (at, output) = (Attempt { step: "s000".to_owned(), number: 1 }, json!({"text": "äöüß"}));
        order(&app, one, Command::Complete { at, output }).await;
        let mut tx = begin(&app).await;
        let storage = r#"{"text":"äöüß"}"#.len() as i64;
        assert_eq!(in_use(&mut tx, ada).await, InUse { agents: 1, waiting: 1, storage });
        assert_eq!(in_use(&mut tx, eve).await, InUse { agents: 1, ..InUse::default() });
        assert_eq!(in_use(&mut tx, UserId::new(app.clock.now())).await, InUse::default());
        drop(tx);
        app.check_invariants().await;
    }

    async fn what_was_counted_wrongly_is_found_and_counted_again(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let id = planned(&app, ada, 2).await;
        let at = claim(&app, id, "s000").await.at;
        order(&app, id, Command::Complete { at, output: json!({}) }).await;
        claim(&app, id, "s001").await;
        let mut tx = begin(&app).await;
        on!(tx, |c| {
            let sql = "update in_use set agents = 7, waiting = 6, storage = 5 where user_id = $1";
            sqlx::query(sql).bind(ada).execute(&mut *c).await.expect("a change").rows_affected()
        });
        on!(tx, |c| {
            let sql = "delete from in_use where user_id = $1";
            sqlx::query(sql).bind(eve).execute(&mut *c).await.expect("a change").rows_affected()
        });
        let counted = InUse { agents: 7, waiting: 6, storage: 5 };
        let stored = InUse { agents: 1, waiting: 0, storage: 2 };
        // What has no row counts as nothing, which is right for her.
        let found = usage::miscounts(&mut tx).await.expect("miscounts");
        assert_eq!(found, [Miscount { user: ada, counted, stored }]);
        for again in [vec![ada], vec![]] {
            assert_eq!(usage::recount(&mut tx, app.clock.now()).await.expect("a count"), again);
            assert_eq!(in_use(&mut tx, ada).await, stored);
        }
        // Whoever waited because of it is looked for.
        let due = outbox::take_due(&mut tx, Lane::Interactive, app.clock.now(), 10).await.expect("rows");
        assert!(due.contains(&Job::LetIn { user: ada }), "{due:?}");
        tx.commit().await.expect("a commit");
        app.check_invariants().await;
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
