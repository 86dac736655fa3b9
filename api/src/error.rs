//! Problem documents (RFC 9457): the one shape of every error, and the one list of their codes.
//!
//! `?` turns infrastructure errors into opaque 500s that carry the request id and are logged once, here.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::ExtensionRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::account_links::LinkError;
use shared::domain::entitlement::NotEntitled;
use shared::domain::plan::FieldError;
use shared::domain::workflow::Refusal;
use shared::passwords::PasswordError;
use shared::qr::QrError;
use shared::seal::SealError;
use shared::store::StoreError;
use shared::stripe::StripeError;
use shared::stripe::sync::SyncError;
use shared::tokens::TokenError;
use shared::tokens::keyring::KeyringError;
use utoipa::ToSchema;

/// A problem document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status and the code say it all.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable name for programs.
    #[schema(value_type = String, example = "validation_failed")]
    pub code: Code,
    /// One sentence for people.
    pub detail: String,
    /// The request's id, for support.
    pub request_id: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

macro_rules! codes {
    ($($code:ident = $status:ident),+ $(,)?) => {
        /// Every code there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(clippy::enum_variant_names, reason = "`invalid_mfa_code` is what clients see")]
        pub enum Code { $(
            #[doc = stringify!($status)]
            $code
        ),+ }

        impl Code {
            const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),+ }
            }
        }
    };
}

codes! {
    MalformedJson = BAD_REQUEST,
    BadRequest = BAD_REQUEST,
    InvalidCursor = BAD_REQUEST,
    InvalidToken = BAD_REQUEST,
    InvalidSignature = BAD_REQUEST,
    Unauthorized = UNAUTHORIZED,
    InvalidCredentials = UNAUTHORIZED,
    InvalidMfaCode = UNAUTHORIZED,
    MfaRequired = UNAUTHORIZED,
    WrongTokenType = UNAUTHORIZED,
    TokenReused = UNAUTHORIZED,
    SubscriptionRequired = PAYMENT_REQUIRED,
    TrialExpired = PAYMENT_REQUIRED,
    PaymentDeclined = PAYMENT_REQUIRED,
    PaymentActionRequired = PAYMENT_REQUIRED,
    EmailNotVerified = FORBIDDEN,
    NotOwner = FORBIDDEN,
    Forbidden = FORBIDDEN,
    TrialCreditsExhausted = FORBIDDEN,
    WorkflowLimitReached = FORBIDDEN,
    StorageLimitReached = FORBIDDEN,
    NotFound = NOT_FOUND,
    MethodNotAllowed = METHOD_NOT_ALLOWED,
    RequestTimeout = REQUEST_TIMEOUT,
    AlreadyExists = CONFLICT,
    WrongState = CONFLICT,
    LastAdmin = CONFLICT,
    InProgress = CONFLICT,
    BodyTooLarge = PAYLOAD_TOO_LARGE,
    UriTooLong = URI_TOO_LONG,
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE,
    ValidationFailed = UNPROCESSABLE_ENTITY,
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY,
    RateLimited = TOO_MANY_REQUESTS,
    Internal = INTERNAL_SERVER_ERROR,
    Busy = SERVICE_UNAVAILABLE,
    TimedOut = SERVICE_UNAVAILABLE,
    PaymentsNotConfigured = SERVICE_UNAVAILABLE,
    PaymentsUnavailable = SERVICE_UNAVAILABLE,
}

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
}

/// The result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error with one sentence for people.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, status: code.status(), detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// 422 with everything that is wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            several => format!("{} fields are not valid; see errors.", several.len()),
        };
        Self { errors, ..Self::new(Code::ValidationFailed, detail) }
    }

    /// 404 without saying what exists.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "There is nothing at this address.")
    }

    /// 401 without saying what is wrong with the token.
    pub fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "Sign in and send the access token as a bearer token.")
    }

    /// 503 while the process shuts down.
    pub fn stopping() -> Self {
        Self::new(Code::Busy, "The server is shutting down; try again.").retry_after(1)
    }

    /// 503 where Stripe, or our way to it, does not do what it should; whoever called it has logged that.
    fn unavailable() -> Self {
        let detail = "The payment service does not do what it should; try again shortly.";
        Self::new(Code::PaymentsUnavailable, detail).retry_after(5)
    }

    /// The same where what Stripe says makes no sense.
    pub fn odd(what: &dyn std::fmt::Display) -> Self {
        tracing::error!(%what, "what Stripe says makes no sense");
        Self::unavailable()
    }

    /// 503 where what was begun at Stripe could not be brought to its end: it is not known how far it is.
    pub fn unfinished(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "an operation at Stripe was not finished");
        let detail = "This could not be brought to its end; send the same request again to go on with it.";
        Self::new(Code::PaymentsUnavailable, detail).retry_after(5)
    }

    /// With another status than the code has elsewhere.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With the seconds after which trying again makes sense.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The sentence of an error that is the client's; one of ours stays an error.
    pub fn refusal(self) -> Result<String, Self> {
        if self.code == Code::Internal { Err(self) } else { Ok(self.detail) }
    }

    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(Code::Internal, "Something went wrong on our side. Try again; nothing was charged for this request.")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status;
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            // The request-id layer fills this in.
            request_id: String::new(),
            errors: self.errors,
        };
        let mut response = (status, Json(&problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(problem);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

/// Something that the server should have put beside every request is not there.
impl From<ExtensionRejection> for ApiError {
    fn from(error: ExtensionRejection) -> Self {
        Self::internal(&error)
    }
}

impl From<Arc<StoreError>> for ApiError {
    fn from(error: Arc<StoreError>) -> Self {
        Self::internal(&error)
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                Self::new(Code::Busy, "Too many sign-ins at once; try again shortly.").retry_after(1)
            }
            PasswordError::Hash(_) => Self::internal(&error),
        }
    }
}

impl From<SealError> for ApiError {
    fn from(error: SealError) -> Self {
        Self::internal(&error)
    }
}

impl From<QrError> for ApiError {
    fn from(error: QrError) -> Self {
        Self::internal(&error)
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::unauthorized(),
            TokenError::WrongType => Self::new(Code::WrongTokenType, "This token is good for something else."),
        }
    }
}

impl From<KeyringError> for ApiError {
    fn from(error: KeyringError) -> Self {
        Self::internal(&error)
    }
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        Self::internal(&error)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(&error)
    }
}

/// What the payer can do something about is said; all else is between us and Stripe.
impl From<StripeError> for ApiError {
    fn from(error: StripeError) -> Self {
        match error {
            StripeError::Declined { message, .. } => Self::new(Code::PaymentDeclined, sentence(&message)),
            StripeError::NeedsAction(_) => {
                let detail = "The bank wants the payer to confirm this payment. Leave payment_method out to pay on \
                              Stripe's page, or add another payment method in the portal.";
                Self::new(Code::PaymentActionRequired, detail)
            }
            error @ StripeError::Unreadable(_) => Self::odd(&error),
            _ => Self::unavailable(),
        }
    }
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Stripe(error) => error.into(),
            SyncError::Store(error) => error.into(),
            error @ SyncError::UnknownPrice(_) => Self::odd(&error),
        }
    }
}

/// The task of an operation at Stripe has panicked, or has ended with the process.
impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::unfinished(&error)
    }
}

impl From<NotEntitled> for ApiError {
    fn from(refusal: NotEntitled) -> Self {
        let code = match refusal {
            NotEntitled::TrialCreditsExhausted => Code::TrialCreditsExhausted,
            NotEntitled::TrialExpired => Code::TrialExpired,
            NotEntitled::SubscriptionRequired => Code::SubscriptionRequired,
            NotEntitled::WorkflowLimitReached(_) => Code::WorkflowLimitReached,
            NotEntitled::StorageLimitReached(_) => Code::StorageLimitReached,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchStep(_) => Self::not_found(),
            refusal => Self::new(Code::WrongState, sentence(&refusal.to_string())),
        }
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}
