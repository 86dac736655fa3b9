//! Deliveries into folders and to a mail server that answers as it is told.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("autoos-mail-{:016x}", getrandom::u64().unwrap())))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that wrote nothing has no folder to remove.
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn from() -> Mailbox {
    "AUTOOS <autoos@example.com>".parse().unwrap()
}

fn clock() -> Clock {
    Clock::manual(DateTime::<Utc>::from_timestamp(1_767_258_900, 0).unwrap())
}

fn email(message_id: &str) -> Email {
    Email {
        message_id: message_id.into(),
        to: vec!["ada@example.com".into()],
        subject: "Hello".into(),
        text: "Hello, Ada.\n".into(),
        html: None,
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn a_repeated_delivery_replaces_the_file_of_the_first() {
    let folder = Folder::new();
    let clock = clock();
    let mailer = Mailer::files(&folder.0, from(), clock.clone());
    mailer.send(&email("1@autoos.example")).await.unwrap();
    clock.advance(TimeDelta::hours(1));
    mailer.send(&email("1@autoos.example")).await.unwrap();
    assert_eq!(folder.names(), ["1@autoos.example.eml"]);
    let text = std::fs::read_to_string(folder.0.join("1@autoos.example.eml")).unwrap();
    assert!(text.contains("10:15:00") && text.contains("Hello, Ada."), "{text}");
}

#[tokio::test]
async fn a_message_id_cannot_lead_out_of_the_folder() {
    let folder = Folder::new();
    Mailer::files(&folder.0, from(), clock()).send(&email("../../etc/passwd")).await.unwrap();
    assert_eq!(folder.names(), [".._.._etc_passwd.eml"]);
}

#[tokio::test]
async fn checking_a_folder_makes_it_and_leaves_nothing_in_it() {
    let folder = Folder::new();
    Mailer::files(&folder.0, from(), clock()).check().await.unwrap();
    assert!(folder.names().is_empty());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_may_become_so_later() {
    let folder = Folder::new();
    std::fs::write(&folder.0, "a file is in the way").unwrap();
    let mailer = Mailer::files(&folder.0, from(), clock());
    assert!(matches!(mailer.check().await, Err(MailError::Transient(_))));
    assert!(matches!(mailer.send(&email("1@autoos.example")).await, Err(MailError::Transient(_))));
    std::fs::remove_file(&folder.0).unwrap();
}

/// Takes connections on loopback and answers `RCPT` and `AUTH` with the given lines.
async fn server(rcpt: &'static str, auth: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, rcpt, auth));
        }
    });
    port
}

async fn converse(stream: TcpStream, rcpt: &'static str, auth: &'static str) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 test\r\n").await?;
    let mut in_message = false;
    while let Some(line) = lines.next_line().await? {
        if in_message && line != "." {
            continue;
        }
        let answer = match line.get(..4).unwrap_or(".") {
            "EHLO" => "250-test\r\n250 AUTH PLAIN",
            "AUTH" => auth,
            "RCPT" => rcpt,
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        in_message = line == "DATA";
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

fn settings(port: u16, user: Option<&str>) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        user: user.map(Into::into),
        password: user.map(|_| "swordfish".into()),
    }
}

async fn delivery(rcpt: &'static str, auth: &'static str, user: Option<&str>) -> Result<(), MailError> {
    let port = server(rcpt, auth).await;
    let mailer = Mailer::smtp(&settings(port, user), from(), clock()).unwrap();
    mailer.send(&email("1@autoos.example")).await
}

#[tokio::test]
async fn a_server_that_takes_the_mail_ends_the_matter() {
    assert_eq!(delivery("250 ok", "235 ok", None).await, Ok(()));
    assert_eq!(delivery("250 ok", "235 ok", Some("autoos")).await, Ok(()));
}

#[tokio::test]
async fn an_unknown_reader_is_permanent_and_a_busy_server_is_not() {
    assert!(matches!(delivery("550 no such user", "", None).await, Err(MailError::Permanent(_))));
    assert!(matches!(delivery("451 try later", "", None).await, Err(MailError::Transient(_))));
}

#[tokio::test]
async fn wrong_credentials_lose_no_mail() {
    let result = delivery("250 ok", "535 who are you", Some("autoos")).await;
    assert!(matches!(result, Err(MailError::Transient(_))), "{result:?}");
}

#[tokio::test]
async fn a_server_that_is_away_may_come_back() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let mailer = Mailer::smtp(&settings(port, None), from(), clock()).unwrap();
    assert!(matches!(mailer.check().await, Err(MailError::Transient(_))));
    assert!(matches!(mailer.send(&email("1@autoos.example")).await, Err(MailError::Transient(_))));
}

#[tokio::test]
async fn checking_a_server_says_hello() {
    let port = server("250 ok", "235 ok").await;
    assert_eq!(Mailer::smtp(&settings(port, None), from(), clock()).unwrap().check().await, Ok(()));
}
