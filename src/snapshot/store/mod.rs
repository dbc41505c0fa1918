//! Where the bytes of a snapshot go: what is whole there, what it is, and how long it stays. One file per
//! store; today there is one, `volume`. A store knows neither how the bytes are made nor from what.

mod keep;
mod manifest;
mod room;
mod volume;

pub use manifest::Manifest;
pub use volume::Volume;
pub(super) use volume::{Found, Taken, place};
