//! What a handler may rely on, as types: who asks, what they may, and a body that has been read.

mod body;
mod client;
mod id;
mod page;
mod payment;
mod session;
mod token;
mod user;
mod workflow;

pub use body::{Body, raw};
pub use client::Client;
pub use id::{PathId, PathName, is_name};
pub use page::{Page, PageQuery, Paged};
pub use payment::{QrForm, ReadablePayment};
pub use session::{Sessions, sessions};
pub use token::claims;
pub use user::{Admin, CurrentUser, Submitter, admit};
pub use workflow::{OwnWorkflow, ReadableWorkflow};
