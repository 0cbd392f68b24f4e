//! Where a run is going to be seen: on record before a target is given anything.
//!
//! One record for each place, so that a place which a changed configuration adds later stands beside those that were there.

use std::io;

use export_contract::message::{Distribution, HandOver};
use export_contract::{Digest, Version};

use crate::store::BlobKey;
use crate::workspace::{ResultError, Workspace, digest_of, key};

impl Workspace {
    /// Writes down that the run is going to be seen at a place. Saying so again is no error and changes nothing.
    ///
    /// # Errors
    /// When staging fails, or the record that is there cannot be read.
    pub async fn put_hand_over(&self, distribution: &Distribution) -> Result<(), ResultError> {
        let record = HandOver { v: Version, run: self.run().clone(), distribution: distribution.clone() };
        self.put_record(&self.hand_over_key(distribution), &record).await.map(drop)
    }

    /// Every place at which this generation of the run may be seen, by key.
    ///
    /// # Errors
    /// When staging fails, or a record cannot be read.
    pub async fn hand_overs(&self) -> Result<Vec<Distribution>, ResultError> {
        let prefix = self.hand_over_prefix();
        let listed = self.store().list(&prefix).await;
        let mut keys = listed.map_err(|cause| ResultError::Store { key: prefix.to_string(), cause })?;
        keys.sort();
        let mut places = Vec::new();
        for key in keys {
            let record: HandOver = self.record(&key).await?;
            // A record that was spoilt on its way may still be JSON, and must lead to no place but the one that it was written for.
            if record.run != *self.run() || self.hand_over_key(&record.distribution) != key {
                let cause = io::Error::other("it is of another run or place than its key says");
                return Err(ResultError::Unreadable { key: key.to_string(), cause: serde_json::Error::io(cause) });
            }
            places.push(record.distribution);
        }
        Ok(places)
    }

    fn hand_over_prefix(&self) -> BlobKey {
        key(format!("{}/handover", self.run()))
    }

    fn hand_over_key(&self, distribution: &Distribution) -> BlobKey {
        let place: Digest = digest_of(distribution.location.as_bytes());
        key(format!("{}/{}-{}.json", self.hand_over_prefix(), distribution.kind.as_str(), place.hex()))
    }
}
