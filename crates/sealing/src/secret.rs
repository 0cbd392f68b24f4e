//! The key of a run.

use std::fmt;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::seal::SealError;

/// Most bytes of a run's key: an age identity as text has 74.
const MAX_BYTES: usize = 128;

/// The key of a run: 32 random bytes in mode `aes-gcm`, an age identity as text in mode `age`. Wiped when it is dropped.
pub struct RunKey(Zeroizing<Vec<u8>>);

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunKey").finish_non_exhaustive()
    }
}

impl RunKey {
    /// A new key for mode `aes-gcm`.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub fn random() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        rand::fill(&mut bytes).map_err(|_| SealError::Random)?;
        Ok(Self(bytes))
    }

    /// A key that was unwrapped; `None` where no key has so many bytes.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (1..=MAX_BYTES).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes, to be wrapped.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}
