//! Signs of life of loops over rows.

use export_contract::event::ProgressStep;
use export_pipeline::StageContext;

use super::error::TrivyError;

/// Rows between two signs of life.
const ROWS_A_TICK: u64 = 20_000;

/// Counts rows; once in a while it tells the watchdog, who takes a silent worker for stuck, and looks for a cancel.
#[derive(Debug)]
pub(crate) struct Pulse<'c> {
    cx: &'c StageContext,
    rows: u64,
}

impl<'c> Pulse<'c> {
    pub(crate) fn new(cx: &'c StageContext) -> Self {
        Self { cx, rows: 0 }
    }

    /// Called for each row.
    ///
    /// # Errors
    /// [`TrivyError::Cancelled`].
    pub(crate) fn row(&mut self) -> Result<(), TrivyError> {
        if self.rows.is_multiple_of(ROWS_A_TICK) {
            self.cx.check()?;
            self.cx.progress(ProgressStep::StageProgress, self.rows, 0);
        }
        self.rows += 1;
        Ok(())
    }
}
