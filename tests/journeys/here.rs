//! The service in this process, for stories in which time passes: the clock stands until the test moves it, and jobs
//! run when it looks for their mails.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::job::Lane;
use shared::store::{accounts, outbox};

use super::address;
use super::client::{Answer, Client, Mail, Mailbox, PASSWORD};
use crate::harness::engines::{App, serve};

/// The subject of the mail with the link that verifies an address, or a part of it.
pub const VERIFY: &str = "Confirm your address";
/// The same of the link that resets a password.
pub const RESET: &str = "Choose a new password";

/// The service, its mails, and somebody who is not signed in.
pub struct Here {
    pub app: App,
    pub nobody: Client,
    mailbox: Mailbox,
}

/// An account and its first session.
pub struct Account {
    pub client: Client,
    pub id: UserId,
    pub tokens: Value,
    /// The body that refreshes the session.
    pub refresh: Value,
}

impl Here {
    pub async fn new(app: App) -> Self {
        let nobody = Client::new(&serve(app.services.clone()).await);
        let mailbox = Mailbox::Folder(app.services.config.data_dir.join("mail"));
        Self { app, nobody, mailbox }
    }

    /// Lets time pass.
    pub fn pass(&self, time: TimeDelta) {
        self.app.clock.advance(time);
    }

    /// Signs somebody up who has not verified the address yet.
    pub async fn sign_up(&self, name: &str) -> Account {
        self.sign_up_with(&self.nobody, name).await
    }

    /// The same with a client of the test's choice.
    pub async fn sign_up_with(&self, client: &Client, name: &str) -> Account {
        let body = json!({
            "email": address(name), "username": name, "password": PASSWORD,
            "full_name": "Ada Lovelace", "role": "professional",
        });
        account(client, &client.post("/auth/signup", &body).await.must(201))
    }

    /// Somebody who has verified the address.
    pub async fn verified(&self, name: &str) -> Account {
        let account = self.sign_up(name).await;
        let token = self.token(name, VERIFY).await;
        self.nobody.post("/auth/verify-email", &json!({ "token": token })).await.must(200);
        account
    }

    /// Somebody who may do everything.
    pub async fn admin(&self, name: &str) -> Account {
        let account = self.verified(name).await;
        let mut tx = self.app.services.db.begin().await.expect("a transaction");
        assert!(accounts::set_role(&mut tx, account.id, "admin").await.expect("a change"));
        tx.commit().await.expect("a commit");
        account
    }

    /// Signs somebody in from the usual place.
    pub async fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.nobody.sign_in(&address(name), password).await
    }

    /// The mails that somebody has got so far whose subject contains a text.
    pub async fn mails(&self, name: &str, subject: &str) -> Vec<Mail> {
        self.app.run_until_idle().await;
        let to = address(name);
        self.mailbox.mails().into_iter().filter(|mail| mail.to == to && mail.subject.contains(subject)).collect()
    }

    /// The tokens in those mails.
    pub async fn tokens(&self, name: &str, subject: &str) -> Vec<String> {
        self.mails(name, subject).await.iter().map(Mail::token).collect()
    }

    /// The token in the only such mail.
    pub async fn token(&self, name: &str, subject: &str) -> String {
        let mut tokens = self.tokens(name, subject).await;
        assert_eq!(tokens.len(), 1, "mails \"{subject}\" to {name}");
        tokens.remove(0)
    }

    /// How many jobs are open.
    pub async fn jobs(&self) -> i64 {
        let mut reader = self.app.services.db.read().await.expect("a reader");
        let mut jobs = 0;
        for lane in Lane::ALL {
            jobs += outbox::count(&mut reader, lane).await.expect("a count");
        }
        jobs
    }
}

/// What an answer that signs in gives.
pub fn account(client: &Client, signed_in: &Value) -> Account {
    Account {
        client: client.with_tokens(&signed_in["tokens"]),
        id: serde_json::from_value(signed_in["user"]["user_id"].clone()).expect("an id"),
        tokens: signed_in["tokens"].clone(),
        refresh: json!({"refresh_token": signed_in["tokens"]["refresh_token"]}),
    }
}
