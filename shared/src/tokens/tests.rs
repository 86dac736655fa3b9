//! Tokens that are ours, and everything that only looks like one.

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::keyring::{ACCEPTED_FOR, NEXT_AFTER, NOTICE, next_begins};
use super::*;
use crate::store::signing_keys::SigningKey;

const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";
const OTHER: &str = "another-secret-of-the-tests-9876543210";

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn seal() -> Seal {
    Seal::new(&secret(SECRET), None)
}

/// So many hours after the tests begin.
fn at(hours: i64) -> DateTime<Utc> {
    "2026-01-15T09:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hours)
}

fn grant(at: DateTime<Utc>) -> Grant {
    let (user, session) = (UserId(uuid::Uuid::from_u128(1)), SessionId(uuid::Uuid::from_u128(2)));
    Grant {
        user,
        role: "student".to_owned(),
        session,
        counter: 1,
        at,
        session_ends: at + TimeDelta::days(SESSION_DAYS),
    }
}

/// A key that signs from so many hours on.
fn key(hours: i64) -> SigningKey {
    ed25519::make(&seal(), at(hours), at(hours)).unwrap()
}

fn with_keys(rows: &[SigningKey]) -> Tokens {
    Tokens::with("autoos", Keyring::ed25519(rows, &seal()))
}

fn with_secret(text: &str) -> Tokens {
    Tokens::new("autoos", &secret(text), None)
}

fn access(tokens: &Tokens, at: DateTime<Utc>) -> String {
    tokens.pair(&grant(at)).unwrap().access
}

fn private(row: &SigningKey) -> EncodingKey {
    ed25519::open(row, &seal()).unwrap().0
}

fn public_bytes(row: &SigningKey) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(&row.public_key).unwrap()
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
}

/// The claims of a good access token.
fn claims(row: &SigningKey) -> Claims {
    let tokens = with_keys(std::slice::from_ref(row));
    tokens.read(&access(&tokens, at(0)), Kind::Access, at(0)).unwrap()
}

fn refused(tokens: &Tokens, token: &str) {
    assert_eq!(tokens.read(token, Kind::Access, at(0)), Err(TokenError::Invalid), "{token}");
}

#[test]
fn a_pair_is_good_for_its_two_purposes_until_it_is_over() {
    for tokens in [with_secret(SECRET), with_keys(&[key(0)])] {
        let pair = tokens.pair(&grant(at(0))).unwrap();
        let claims = tokens.read(&pair.access, Kind::Access, at(0)).unwrap();
        assert_eq!((claims.typ, claims.ctr, claims.iss.as_str()), (Kind::Access, 1, "autoos"));
        assert_eq!(tokens.read(&pair.refresh, Kind::Access, at(0)), Err(TokenError::WrongType));
        assert_eq!(tokens.read(&pair.access, Kind::Refresh, at(0)), Err(TokenError::WrongType));
        let ends = at(0) + TimeDelta::seconds(ACCESS_SECONDS);
        assert!(tokens.read(&pair.access, Kind::Access, ends - TimeDelta::seconds(1)).is_ok());
        assert_eq!(tokens.read(&pair.access, Kind::Access, ends), Err(TokenError::Invalid));
        let ends = at(0) + TimeDelta::days(SESSION_DAYS);
        assert!(tokens.read(&pair.refresh, Kind::Refresh, ends - TimeDelta::seconds(1)).is_ok());
        assert_eq!(tokens.read(&pair.refresh, Kind::Refresh, ends), Err(TokenError::Invalid));
    }
}

#[test]
fn the_previous_secret_is_accepted_and_the_current_one_signs() {
    let both = Tokens::new("autoos", &secret(SECRET), Some(&secret(OTHER)));
    assert!(both.read(&access(&with_secret(OTHER), at(0)), Kind::Access, at(0)).is_ok());
    assert_eq!(access(&both, at(0)), access(&with_secret(SECRET), at(0)));
    refused(&with_secret(SECRET), &access(&with_secret(OTHER), at(0)));
}

#[test]
fn only_the_configured_algorithm_is_accepted() {
    let row = key(0);
    let (keys, secrets) = (with_keys(std::slice::from_ref(&row)), with_secret(SECRET));
    refused(&keys, &access(&secrets, at(0)));
    refused(&secrets, &access(&keys, at(0)));
    // The classic: the public key, which everybody has, taken for a secret.
    let claims = claims(&row);
    for bytes in [public_bytes(&row), row.public_key.clone().into_bytes()] {
        let header = header(Algorithm::HS256, Some(&row.id));
        refused(&keys, &encode(&header, &claims, &EncodingKey::from_secret(&bytes)).unwrap());
    }
    // Nor another algorithm of the same family.
    let kid = decode_header(access(&secrets, at(0))).unwrap().kid.unwrap();
    let longer = header(Algorithm::HS512, Some(&kid));
    refused(&secrets, &encode(&longer, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap());
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let row = key(0);
    let (keys, secrets) = (with_keys(std::slice::from_ref(&row)), with_secret(SECRET));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = part(&serde_json::to_value(claims(&row)).unwrap());
    for algorithm in ["none", "None", "NONE", "", "EdDSA", "HS256"] {
        let header = part(&json!({"alg": algorithm, "typ": "JWT", "kid": row.id}));
        for end in ["", ".", ".AAAA"] {
            refused(&keys, &format!("{header}.{payload}{end}"));
            refused(&secrets, &format!("{header}.{payload}{end}"));
        }
    }
}

#[test]
fn a_token_is_checked_with_the_key_that_it_names_and_no_other() {
    let (row, other) = (key(0), key(1));
    let tokens = with_keys(&[row.clone(), other.clone()]);
    let signed = |kid: Option<&str>| encode(&header(Algorithm::EdDSA, kid), &claims(&row), &private(&row)).unwrap();
    assert!(tokens.read(&signed(Some(&row.id)), Kind::Access, at(0)).is_ok());
    for kid in [Some(other.id.as_str()), Some("unknown"), Some(""), None] {
        refused(&tokens, &signed(kid));
    }
    refused(&with_keys(&[other]), &signed(Some(&row.id)));
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let (row, stranger) = (key(0), key(0));
    let tokens = with_keys(std::slice::from_ref(&row));
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": stranger.public_key, "kid": stranger.id});
    for kid in [Some(row.id.as_str()), Some(stranger.id.as_str()), None] {
        let brought = Header {
            jwk: Some(serde_json::from_value(jwk.clone()).unwrap()),
            jku: Some("https://example.com/jwks.json".to_owned()),
            x5u: Some("https://example.com/x5u.pem".to_owned()),
            ..header(Algorithm::EdDSA, kid)
        };
        refused(&tokens, &encode(&brought, &claims(&row), &private(&stranger)).unwrap());
    }
}

#[test]
fn tokens_of_another_issuer_or_for_another_audience_are_refused() {
    let row = key(0);
    let tokens = with_keys(std::slice::from_ref(&row));
    let elsewhere = Tokens::with("elsewhere", Keyring::ed25519(std::slice::from_ref(&row), &seal()));
    refused(&tokens, &access(&elsewhere, at(0)));
    let good = claims(&row);
    let changed = [
        Claims { aud: "another".to_owned(), ..good.clone() },
        Claims { iss: "another".to_owned(), ..good.clone() },
        Claims { exp: at(0).timestamp(), ..good.clone() },
    ];
    let sign = |claims: &Claims| encode(&header(Algorithm::EdDSA, Some(&row.id)), claims, &private(&row)).unwrap();
    assert!(tokens.read(&sign(&good), Kind::Access, at(0)).is_ok());
    for claims in &changed {
        refused(&tokens, &sign(claims));
    }
}

#[test]
fn each_key_signs_from_its_time_on_and_the_same_grant_gives_the_same_bytes() {
    let (first, next) = (key(0), key(24));
    let kid = |tokens: &Tokens, hours| decode_header(access(tokens, at(hours))).unwrap().kid;
    let (alone, both) = (with_keys(std::slice::from_ref(&first)), with_keys(&[next.clone(), first.clone()]));
    for hours in [-1, 0, 23] {
        assert_eq!(kid(&both, hours).as_ref(), Some(&first.id));
        assert_eq!(access(&both, at(hours)), access(&alone, at(hours)));
    }
    assert_eq!(kid(&both, 24).as_ref(), Some(&next.id));
    let published: Vec<_> = both.published().into_iter().map(|key| key.id).collect();
    assert_eq!(published, [first.id, next.id]);
    assert!(with_secret(SECRET).published().is_empty());
}

#[test]
fn other_keys_take_over_at_once() {
    let (first, next) = (key(0), key(0));
    let tokens = with_keys(std::slice::from_ref(&first));
    let token = access(&tokens, at(0));
    tokens.replace(Keyring::ed25519(&[next], &seal()));
    refused(&tokens, &token);
    assert!(tokens.read(&access(&tokens, at(0)), Kind::Access, at(0)).is_ok());
}

#[test]
fn a_row_that_this_deployment_did_not_seal_is_not_used() {
    let (row, other) = (key(0), key(0));
    let foreign = ed25519::make(&Seal::new(&secret(OTHER), None), at(0), at(0)).unwrap();
    let swapped = SigningKey { private_key: other.private_key.clone(), ..row.clone() };
    let renamed = SigningKey { id: "mine".to_owned(), ..row.clone() };
    let public = SigningKey { public_key: other.public_key.clone(), ..row.clone() };
    for bad in [foreign, swapped, renamed, public] {
        assert!(with_keys(&[bad]).published().is_empty());
    }
    assert_eq!(with_keys(&[row]).published().len(), 1);
}

#[test]
fn the_next_key_is_made_a_day_ahead_and_the_first_one_for_now() {
    let now = at(0);
    assert_eq!(next_begins(&[], now), Some(now));
    let row = key(0);
    let almost = now + NEXT_AFTER - TimeDelta::microseconds(1);
    assert_eq!(next_begins(std::slice::from_ref(&row), almost), None);
    assert_eq!(next_begins(std::slice::from_ref(&row), now + NEXT_AFTER), Some(now + NEXT_AFTER + NOTICE));
    let next = SigningKey { created_at: now + NEXT_AFTER, active_from: now + NEXT_AFTER + NOTICE, ..key(0) };
    assert_eq!(next_begins(&[row.clone(), next.clone()], now + NEXT_AFTER), None);
    // One that was lost is replaced at once, whatever waits for its time.
    assert_eq!(next_begins(&[next], now + NEXT_AFTER), Some(now + NEXT_AFTER));
    let retired = SigningKey { retired_at: Some(now), ..row };
    assert_eq!(next_begins(&[retired], now), Some(now));
}

#[test]
fn a_key_is_accepted_for_longer_than_any_token_that_it_signed() {
    assert!(ACCEPTED_FOR > TimeDelta::days(SESSION_DAYS));
    assert!(NOTICE > TimeDelta::minutes(1), "processes read the keys once a minute");
}

#[test]
fn a_key_is_named_by_its_thumbprint() {
    // RFC 8037, appendix A.3.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    assert_eq!(ed25519::thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
