//! How errors are written to the log: the whole chain, once.

use std::error::Error;
use std::fmt;

/// An error and its causes, joined by `: `.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Waits between tries: 100 ms at first, twice as long each time, at most `longest`.
pub(crate) struct Backoff {
    next: std::time::Duration,
    longest: std::time::Duration,
}

impl Backoff {
    pub(crate) fn up_to(longest: std::time::Duration) -> Self {
        Self { next: std::time::Duration::from_millis(100), longest }
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}
