//! The schema version that every wire type carries.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Schema version `N` of a wire type: written as the number `N`, and refused when it is any other.
///
/// A reader that meets a newer document says so instead of guessing at its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version<const N: u32>;

impl<const N: u32> Serialize for Version<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(N)
    }
}

impl<'de, const N: u32> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = u32::deserialize(deserializer)?;
        if found == N {
            Ok(Self)
        } else {
            Err(D::Error::custom(format_args!("schema version {found} is not supported, this build reads version {N}")))
        }
    }
}
