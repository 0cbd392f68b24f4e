//! Writes bbolt databases from sorted input in one pass (design D3).
