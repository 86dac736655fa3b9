//! Trials and the ledger: a credit is given, taken and given back once.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::status::Charged;
use shared::ids::{UserId, WorkflowId};
use shared::on;
use shared::store::credits::{self, Trial};
use shared::store::usage::InUse;
use shared::store::{Tx, agents};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{MANY, begin};
use crate::harness::engines::{App, both_engines};

async fn ledger(tx: &mut Tx, user: UserId) -> Vec<(i64, String)> {
    on!(tx, |c| {
        sqlx::query_as("select amount, reason from ledger where user_id = $1 order by reason, amount")
            .bind(user)
            .fetch_all(&mut *c)
            .await
            .expect("entries")
    })
}

async fn left(tx: &mut Tx, user: UserId) -> i64 {
    credits::trial(tx, user).await.expect("a row").expect("a trial").credits
}

async fn charge(tx: &mut Tx, user: UserId, workflow: WorkflowId, now: DateTime<Utc>) -> Option<i64> {
    credits::charge_trials(tx, &[(user, workflow)], None, now).await.expect("a charge")[0]
}

fn workflow(app: &App) -> WorkflowId {
    WorkflowId::new(app.clock.now())
}

both_engines! {
    async fn a_trial_starts_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let longer = Trial { started_at: now, ends_at: now + TimeDelta::days(90), credits_total: 99, credits: 99 };
        assert!(!credits::start_trial(&mut tx, ada, &longer).await.expect("a trial"));
        let trial = credits::trial(&mut tx, ada).await.expect("a row").expect("a trial");
        let ends_at = now + TimeDelta::days(30);
        assert_eq!(trial, Trial { started_at: now, ends_at, credits_total: 10, credits: 10 });
        assert_eq!(ledger(&mut tx, ada).await, [(10, "trial_grant".to_owned())]);
    }

    async fn credits_are_granted_once_per_reason_and_reference(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut tx = begin(&app).await;
        for (reference, given) in [(one, true), (one, false), (other, true)] {
            let reason = ("admin_grant", reference);
            assert_eq!(credits::grant(&mut tx, ada, 5, reason, now).await.expect("a grant"), given);
        }
        let nobody = UserId::new(now);
        assert!(!credits::grant(&mut tx, nobody, 5, ("admin_grant", Uuid::from_u128(3)), now).await.expect("a grant"));
        let trial = credits::trial(&mut tx, ada).await.expect("a row").expect("a trial");
        assert_eq!((trial.credits, trial.credits_total), (20, 20));
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), []);
    }

    async fn a_trial_pays_until_it_ends_or_is_used_up(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let end = now + TimeDelta::days(30);
        assert_eq!(charge(&mut tx, ada, workflow(&app), end).await, None);
        let last = end - TimeDelta::microseconds(1);
        for left in (0..10).rev() {
            assert_eq!(charge(&mut tx, ada, workflow(&app), last).await, Some(left));
        }
        assert_eq!(charge(&mut tx, ada, workflow(&app), now).await, None);
        let nobody = UserId::new(now);
        assert_eq!(charge(&mut tx, nobody, workflow(&app), now).await, None);
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), []);
    }

    async fn of_two_hundred_charges_at_once_ten_credits_pay_for_ten(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut charges = JoinSet::new();
        for _ in 0..200 {
            let db = app.services.db.clone();
            charges.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let left = charge(&mut tx, ada, WorkflowId::new(now), now).await;
                tx.commit().await.expect("a commit");
                left
            });
        }
        let mut left: Vec<i64> = charges.join_all().await.into_iter().flatten().collect();
        left.sort_unstable();
        assert_eq!(left, (0..10).collect::<Vec<_>>());
        assert_eq!(app.credits(ada).await, 0);
        app.check_invariants().await;
    }

    async fn many_charges_together_take_what_each_payer_has_in_their_order(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let (nobody, end) = (UserId::new(now), now + TimeDelta::days(30));
        let mut tx = begin(&app).await;
        let users = [ada, eve, nobody].into_iter().cycle().take(MANY);
        let wanted: Vec<_> = users.map(|user| (user, workflow(&app))).collect();
        let charged = credits::charge_trials(&mut tx, &wanted, None, now).await.expect("charges");
        for (n, ((user, _), left)) in wanted.iter().zip(&charged).enumerate() {
            let before = (n / 3) as i64;
            assert_eq!(*left, (*user != nobody && before < 10).then_some(9 - before), "{n}");
        }
        assert_eq!((left(&mut tx, ada).await, left(&mut tx, eve).await), (0, 0));
        assert_eq!(ledger(&mut tx, eve).await.len(), 11);
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), []);
        assert_eq!(credits::charge_trials(&mut tx, &wanted, None, end).await.expect("no charge"), vec![None; MANY]);
    }

    async fn a_trial_whose_storage_is_full_pays_for_nothing(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        agents::count(&mut tx, &[(ada, InUse { storage: 1_000, ..InUse::default() })]).await.expect("a count");
        for (storage, left) in [
            (Some(1_000), [None, Some(9), None]),
            (Some(1_001), [Some(9), Some(8), Some(8)]),
            (None, [Some(7), Some(7), Some(6)]),
        ] {
            let wanted = [(ada, workflow(&app)), (eve, workflow(&app)), (ada, workflow(&app))];
            assert_eq!(credits::charge_trials(&mut tx, &wanted, storage, now).await.expect("charges"), left);
        }
    }

    async fn a_charge_is_given_back_once(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let id = workflow(&app);
        let mut tx = begin(&app).await;
        charge(&mut tx, ada, id, now).await;
        assert!(!credits::refunded(&mut tx, id).await.expect("an answer"));
        for given in [true, false] {
            assert_eq!(credits::refund(&mut tx, ada, id, Charged::Trial, now).await.expect("a refund"), given);
            assert_eq!(left(&mut tx, ada).await, 10);
            assert!(credits::refunded(&mut tx, id).await.expect("an answer"));
        }
        let entries = [(-1, "charge".to_owned()), (1, "refund".to_owned()), (10, "trial_grant".to_owned())];
        assert_eq!(ledger(&mut tx, ada).await, entries);
    }

    async fn a_balance_that_was_changed_behind_the_ledger_is_found(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        on!(tx, |c| {
            let sql = "update trials set credits = credits + 7 where user_id = $1";
            sqlx::query(sql).bind(ada).execute(&mut *c).await.expect("a change").rows_affected()
        });
        assert_eq!(credits::unbalanced(&mut tx).await.expect("ledgers"), [(ada, 17, 10)]);
    }
}
