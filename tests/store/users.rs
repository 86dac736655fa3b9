//! Accounts and the tokens that they get by mail.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::tier::Tier;
use shared::ids::{SessionId, UserId};
use shared::on;
use shared::store::Tx;
use shared::store::account_events::Origin;
use shared::store::credits::{self, Subscription};
use shared::store::sessions::{self, Session};
use shared::store::users::{self, ProfileChange, SignedIn, User};
use tokio::task::JoinSet;

use super::{MANY, begin};
use crate::harness::engines::{App, both_engines};

async fn read(tx: &mut Tx, id: UserId) -> User {
    users::by_id(tx, id).await.expect("a row").expect("an account")
}

/// An account like that of `id`, not stored yet.
async fn like(tx: &mut Tx, id: UserId, email: &str, username: &str) -> User {
    let user = read(tx, id).await;
    User { id: UserId::new(user.created_at), email: email.to_owned(), username: username.to_owned(), ..user }
}

async fn disable(tx: &mut Tx, id: UserId) {
    let sql = "update users set disabled = true where id = $1";
    on!(tx, |c| sqlx::query(sql).bind(id).execute(&mut *c).await.expect("a change").rows_affected());
}

async fn session(app: &App, tx: &mut Tx, user_id: UserId) -> SessionId {
    let now = app.clock.now();
    let expires_at = now + TimeDelta::days(1);
    let session =
        Session { id: SessionId::new(now), user_id, counter: 0, rotated_at: now, expires_at, revoked_at: None };
    sessions::insert(tx, &session, &Origin::default(), None).await.expect("a session");
    session.id
}

async fn signed_in(tx: &mut Tx, session: SessionId, at: DateTime<Utc>) -> Option<SignedIn> {
    users::signed_in(tx, &[session], at).await.expect("rows").pop()
}

both_engines! {
    async fn an_account_is_read_back_as_it_was_stored(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let mut user = like(&mut tx, ada, "Bob@Example.com", "Bob").await;
        user.organization = Some("Analytical Engines".to_owned());
        user.student_id = Some("s-1".to_owned());
        user.employee_id = Some("e-1".to_owned());
        user.email_verified = false;
        assert!(users::insert(&mut tx, &user).await.expect("an account"));
        assert_eq!(format!("{:?}", read(&mut tx, user.id).await), format!("{user:?}"));
        assert!(users::by_id(&mut tx, UserId::new(user.created_at)).await.expect("no row").is_none());
        users::set_verified(&mut tx, user.id).await.expect("a change");
        assert!(read(&mut tx, user.id).await.email_verified);
    }

    async fn accounts_are_read_together_each_once(app: App) {
        let (ada, bob) = (app.verified_user("ada@example.com").await, app.verified_user("bob@example.com").await);
        let mut tx = begin(&app).await;
        let unknown = UserId::new(app.clock.now());
        let mut found = users::by_ids(&mut tx, [bob, ada, unknown, bob].into_iter()).await.expect("rows");
        found.sort_by_key(|user| user.id != ada);
        assert_eq!(found.iter().map(|user| user.id).collect::<Vec<_>>(), [ada, bob]);
        assert_eq!(format!("{:?}", found[1]), format!("{:?}", read(&mut tx, bob).await));
        assert!(users::by_ids(&mut tx, std::iter::empty()).await.expect("no rows").is_empty());
    }

    async fn an_address_and_a_user_name_belong_to_one_account_whatever_their_case(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        for (email, username) in [("ADA@example.com", "other"), ("other@example.com", "Ada-Example.COM")] {
            let second = like(&mut tx, ada, email, username).await;
            assert!(!users::insert(&mut tx, &second).await.expect("no account"), "{email}, {username}");
        }
        let found = users::by_email(&mut tx, " Ada@EXAMPLE.com").await.expect("a row").expect("an account");
        assert_eq!((found.id, found.email.as_str()), (ada, "ada@example.com"));
        assert!(users::by_email(&mut tx, "other@example.com").await.expect("no row").is_none());
    }

    async fn a_profile_changes_only_where_it_is_told_to(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let before = read(&mut tx, ada).await;
        assert!(users::update_profile(&mut tx, ada, &ProfileChange::default()).await.expect("no change"));
        assert_eq!(format!("{:?}", read(&mut tx, ada).await), format!("{before:?}"));
        let change = ProfileChange {
            username: Some("Countess".to_owned()),
            full_name: Some("Ada King".to_owned()),
            organization: Some("Engines".to_owned()),
            mail_on_finish: Some(!before.mail_on_finish),
            mail_on_failure: Some(!before.mail_on_failure),
            mail_on_signin: Some(!before.mail_on_signin),
        };
        assert!(users::update_profile(&mut tx, ada, &change).await.expect("a change"));
        let after = User {
            username: "Countess".to_owned(),
            full_name: "Ada King".to_owned(),
            organization: Some("Engines".to_owned()),
            mail_on_finish: !before.mail_on_finish,
            mail_on_failure: !before.mail_on_failure,
            mail_on_signin: !before.mail_on_signin,
            ..before
        };
        assert_eq!(format!("{:?}", read(&mut tx, ada).await), format!("{after:?}"));
        let taken = like(&mut tx, ada, "eve@example.com", "COUNTESS").await;
        assert!(!users::insert(&mut tx, &taken).await.expect("no account"), "the new name is taken now");
    }

    async fn a_user_name_of_somebody_else_is_refused(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let change = ProfileChange { username: Some("EVE-example.com".to_owned()), ..ProfileChange::default() };
        assert!(!users::update_profile(&mut tx, ada, &change).await.expect("no change"));
    }

    async fn a_running_session_leads_to_its_account_and_subscription(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let session = session(&app, &mut tx, ada).await;
        let found = signed_in(&mut tx, session, now).await.expect("an account");
        assert_eq!((found.account.user.id, found.account.user.email.as_str()), (ada, "ada@example.com"));
        assert_eq!((found.account.tier, found.account.subscription_status, found.account.current_period_end), (None, None, None));
        let subscription = Subscription::new(Tier::Student, "active", now);
        credits::put_subscription(&mut tx, ada, &subscription, now).await.expect("a subscription");
        let found = signed_in(&mut tx, session, now).await.expect("an account");
        let paid = (found.account.tier, found.account.subscription_status.as_deref(), found.account.current_period_end);
        assert_eq!(paid, (Some(Tier::Student), Some("active"), Some(now)));
        let unknown = SessionId::new(now);
        let many: Vec<_> = std::iter::repeat_n(unknown, MANY - 1).chain([session]).collect();
        let found = users::signed_in(&mut tx, &many, now).await.expect("rows");
        assert_eq!(found.iter().map(|one| (one.session_id, one.account.user.id)).collect::<Vec<_>>(), [(session, ada)]);
    }

    async fn a_session_that_is_over_or_of_a_disabled_account_leads_nowhere(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let (revoked, good) = (session(&app, &mut tx, ada).await, session(&app, &mut tx, ada).await);
        let disabled = session(&app, &mut tx, eve).await;
        sessions::revoke(&mut tx, revoked, "signed out", now).await.expect("an end");
        disable(&mut tx, eve).await;
        let end = now + TimeDelta::days(1);
        let asked = [(revoked, now), (disabled, now), (good, end), (SessionId::new(now), now)];
        for (session, at) in asked {
            assert!(signed_in(&mut tx, session, at).await.is_none());
        }
        let last = end - TimeDelta::microseconds(1);
        assert!(signed_in(&mut tx, good, last).await.is_some());
    }

    async fn a_token_is_spent_once_for_its_purpose_and_in_time(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let end = now + TimeDelta::hours(1);
        let mut tx = begin(&app).await;
        for hash in ["one", "other"] {
            users::insert_token(&mut tx, ada, ("verify_email", hash), now, end).await.expect("a token");
        }
        let mut spend = async |purpose, hash, at| {
            users::spend_token(&mut tx, (purpose, hash), at).await.expect("a row")
        };
        assert_eq!(spend("reset_password", "one", now).await, None);
        assert_eq!(spend("verify_email", "none", now).await, None);
        assert_eq!(spend("verify_email", "one", now).await, Some(ada));
        assert_eq!(spend("verify_email", "one", now).await, None);
        assert_eq!(spend("verify_email", "other", end).await, None);
        assert_eq!(spend("verify_email", "other", end - TimeDelta::microseconds(1)).await, Some(ada));
    }

    async fn a_token_tells_whose_it_is_as_long_as_it_could_be_spent(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let end = now + TimeDelta::hours(1);
        let mut tx = begin(&app).await;
        for (user, hash) in [(ada, "hers"), (ada, "spent"), (eve, "shut")] {
            users::insert_token(&mut tx, user, ("reset_password", hash), now, end).await.expect("a token");
        }
        users::spend_token(&mut tx, ("reset_password", "spent"), now).await.expect("a row");
        disable(&mut tx, eve).await;
        let mut owner = async |purpose, hash, at| {
            let owner = users::token_owner(&mut tx, (purpose, hash), at).await.expect("a row");
            owner.map(|user| user.id)
        };
        let last = end - TimeDelta::microseconds(1);
        for (purpose, hash, at, expected) in [
            ("reset_password", "hers", now, Some(ada)),
            ("reset_password", "hers", last, Some(ada)),
            ("reset_password", "hers", end, None),
            ("verify_email", "hers", now, None),
            ("reset_password", "none", now, None),
            ("reset_password", "spent", now, None),
            ("reset_password", "shut", now, None),
        ] {
            assert_eq!(owner(purpose, hash, at).await, expected, "{purpose}, {hash}, {at}");
        }
        // Asking has not spent it.
        assert_eq!(users::spend_token(&mut tx, ("reset_password", "hers"), now).await.expect("a row"), Some(ada));
    }

    async fn all_tokens_of_a_user_for_one_purpose_are_spent_together(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let end = now + TimeDelta::hours(1);
        let mut tx = begin(&app).await;
        let tokens = [
            (ada, "reset_password", "one", None),
            (ada, "reset_password", "two", None),
            (ada, "verify_email", "three", Some(ada)),
            (eve, "reset_password", "four", Some(eve)),
        ];
        for (user, purpose, hash, _) in tokens {
            users::insert_token(&mut tx, user, (purpose, hash), now, end).await.expect("a token");
        }
        users::spend_tokens(&mut tx, ada, "reset_password", now).await.expect("a change");
        users::spend_tokens(&mut tx, ada, "reset_password", now).await.expect("no change");
        for (_, purpose, hash, left) in tokens {
            assert_eq!(users::spend_token(&mut tx, (purpose, hash), now).await.expect("a row"), left, "{hash}");
        }
    }

    async fn an_account_gets_another_password_alone(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let mut tx = begin(&app).await;
        let (before, hers) = (read(&mut tx, ada).await, read(&mut tx, eve).await);
        users::set_password(&mut tx, ada, "another hash").await.expect("a change");
        let after = User { password_hash: "another hash".to_owned(), ..before };
        assert_eq!(format!("{:?}", read(&mut tx, ada).await), format!("{after:?}"));
        assert_eq!(format!("{:?}", read(&mut tx, eve).await), format!("{hers:?}"));
    }

    async fn whoever_locks_an_account_sees_what_others_did_and_nobody_is_overwritten(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        let seen = read(&mut tx, ada).await;
        let locked = users::lock(&mut tx, ada).await.expect("a row").expect("an account");
        assert_eq!(format!("{locked:?}"), format!("{seen:?}"));
        assert!(users::lock(&mut tx, UserId::new(app.clock.now())).await.expect("no row").is_none());
        users::set_password(&mut tx, ada, "").await.expect("a change");
        tx.commit().await.expect("a commit");
        let mut writers = JoinSet::new();
        for _ in 0..20 {
            let db = app.services.db.clone();
            writers.spawn(async move {
                let mut tx = db.begin().await.expect("a transaction");
                let user = users::lock(&mut tx, ada).await.expect("a row").expect("an account");
                users::set_password(&mut tx, ada, &format!("{}x", user.password_hash)).await.expect("a change");
                tx.commit().await.expect("a commit");
            });
        }
        writers.join_all().await;
        assert_eq!(read(&mut begin(&app).await, ada).await.password_hash, "x".repeat(20));
    }

    async fn tokens_are_pruned_when_they_are_over(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        for (hash, hours) in [("old", -1), ("edge", 0), ("new", 1)] {
            let end = now + TimeDelta::hours(hours);
            users::insert_token(&mut tx, ada, ("verify_email", hash), now, end).await.expect("a token");
        }
        assert_eq!(users::prune_tokens(&mut tx, now).await.expect("a count"), 1);
        assert_eq!(users::prune_tokens(&mut tx, now).await.expect("a count"), 0);
    }
}
