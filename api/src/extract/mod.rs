//! What a handler may rely on, as types: who asks, what they may, and a body that has been read.

mod body;
mod page;
mod session;
mod user;
mod workflow;

pub use body::Body;
pub use page::{Page, PageQuery, Paged};
pub use session::{Sessions, sessions};
pub use user::{CurrentUser, Submitter, admit};
pub use workflow::{OwnWorkflow, ReadableWorkflow};
