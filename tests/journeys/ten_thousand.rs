//! Ten thousand webhooks in any order, a third of them twice, a tenth of them never, and the program killed twice in
//! between: after reconciliation all is as Stripe has it, and everybody was told of everything once.
//!
//! Stripe is our stand-in, at which payers of different fates live through 24 days (`payers`, `history`). What happens
//! there is delivered in three parts (`couriers`): until two days ago, yesterday, today. Between them the program comes to
//! rest, so that it is known what it has seen to change. What it should have made of it is worked out from the stand-in
//! and from the words of `docs/payments.md` (`told`, `compare`).

mod bills;
mod compare;
mod couriers;
mod history;
mod payers;
mod told;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use shared::job::Lane;
use shared::on;
use shared::store::{Db, outbox, stripe_reconciliations};

use self::couriers::Bag;
use self::history::{History, Part};
use self::told::Told;
use super::client::eventually;
use super::{Engine, POLL, Site};
use crate::harness::stripe_sdk::Signer;
use crate::stand_ins::stripe_like::{SECRET_KEY, StripeLike};

/// How long the program may take to come to rest: a job that a kill has cut off may be waited for.
const DEADLINE: Duration = Duration::from_mins(10);

/// Lives through it with so many payers; gives how many events there were.
async fn story(engine: Engine, payers: usize) -> usize {
    let (begun, stripe) = (Instant::now(), StripeLike::start().await);
    let own = [
        ("STRIPE_API_BASE", stripe.base_url()),
        ("STRIPE_SECRET_KEY", SECRET_KEY),
        ("STRIPE_WEBHOOK_SECRET", couriers::SECRET),
    ];
    let mut site = Site::start(engine, &[&own]).await;
    let db = open(&site).await;
    let mut history = History::begin(&stripe, payers).await;
    duties_are_done(&db).await;
    history.settle(&db).await;

    let (signer, mut bag, mut told) = (Signer::start(), Bag::default(), Told::default());
    for part in Part::ALL {
        history.go_on(part).await;
        told.look(&history);
        bag.add(history.news());
        let letters = if part == Part::Today { bag.rest(&signer) } else { bag.most(&signer) };
        println!("{part:?}: {} events in all, {} to deliver", bag.events().len(), letters.len());
        couriers::deliver(&mut site, letters, part != Part::Today).await;
        println!("{part:?}: delivered after {:?}", begun.elapsed());
        quiet(&db).await;
    }
    reconcile(&site, &db, &history).await;
    println!("reconciled after {:?}", begun.elapsed());

    compare::events(&db, &bag).await;
    compare::subscriptions(&db, &history).await;
    compare::money(&db, &history).await;
    let (expected, arrived) = (told.all(&history), told::arrived(&site.mails()));
    assert_eq!(told::differences(&expected, &arrived), Vec::<String>::new());
    let (code, said) = site.doctor().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("every balance is the sum of its ledger"), "{said}");
    println!("all is well after {:?}", begun.elapsed());
    bag.events().len()
}

/// Has the scheduler look for what was missed, and warn of ends; then nothing differs.
async fn reconcile(site: &Site, db: &Db, history: &History<'_>) {
    // What has just happened says that it is up to 24 days old.
    forget_since(db, history.before_all()).await;
    for name in ["reconcile_stripe", "subscription_warnings"] {
        duty(site, name).await;
        quiet(db).await;
    }
    let compared = duty(site, "compare_stripe").await;
    assert!(compared.contains(&format!("{} customers compared, 0 differ", history.billed())), "{compared}");
}

/// The program's own database.
async fn open(site: &Site) -> Db {
    let url = site.settings.iter().find(|(name, _)| name == "DATABASE_URL");
    let db = match url {
        Some((_, url)) => Db::postgres(url, 4).await,
        None => Db::sqlite(&site.api.data_dir().join("autoos.db")).await,
    };
    db.unwrap_or_else(|error| panic!("the program's database: {error}"))
}

/// Waits until the scheduler has done what is due in the beginning, of which this duty is the last with Stripe.
async fn duties_are_done(db: &Db) {
    eventually(async || {
        let mut tx = db.read().await.expect("a reader");
        let last = stripe_reconciliations::last(&mut tx, &["compare"]).await.expect("rows");
        last.ok_or_else(|| "nothing has been compared yet".to_owned())
    })
    .await;
}

/// Makes it so that nobody has asked Stripe for what was missed since then.
async fn forget_since(db: &Db, then: DateTime<Utc>) {
    let mut tx = db.begin().await.expect("a transaction");
    let sql = "update stripe_reconciliations set started_at = $1";
    on!(tx, |c| sqlx::query(sql).bind(then).execute(&mut *c).await.map(drop)).expect("a change");
    tx.commit().await.expect("a commit");
}

/// Waits until nothing is left to do.
async fn quiet(db: &Db) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut tx = db.read().await.expect("a reader");
        let mut open = 0;
        for lane in Lane::ALL {
            open += outbox::count(&mut tx, lane).await.expect("a count");
        }
        drop(tx);
        if open == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{open} jobs are open after {DEADLINE:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Does a duty and gives what it says.
async fn duty(site: &Site, name: &str) -> String {
    let (code, said) = site.command(&["scheduler", "--once", name]).await;
    assert_eq!(code, Some(0), "{said}");
    said
}

mod after_ten_thousand_webhooks_in_any_order_and_two_kills_all_is_as_stripe_has_it {
    use super::{Engine, story};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn embedded() {
        let events = story(Engine::Embedded, 120).await;
        assert!(events >= 10_000, "only {events}");
    }

    /// Fewer payers: more of the same would show nothing else, and Postgres wants its part of the machine.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn scaled() {
        let events = story(Engine::Scaled, 30).await;
        assert!(events >= 2_500, "only {events}");
    }
}
