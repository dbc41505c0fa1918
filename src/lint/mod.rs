//! Rules about SQL files. PURE.
