//! Reserving the number of a task that a launcher claims later.

use std::time::Duration;

use super::{ServiceError, Tasks};
use crate::{
    app::reconcile,
    io::{store::NewTask, sys},
    model::task::Timestamp,
};

/// What should be reserved.
#[derive(Clone, Debug, Default)]
pub struct Reservation {
    /// The name of the task; empty for none.
    pub name: String,
    /// Free texts about the task.
    pub info: [Option<String>; 3],
    /// Whether the reservation is refused while another task of the name has not ended.
    pub unique: bool,
    /// After this period the reservation expires.
    pub expire: Duration,
}

/// A reservation.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// The number of the task.
    pub id: i64,
    /// The handle by which a launcher may claim it.
    pub handle: String,
    /// When it expires, unix seconds.
    pub expires: i64,
}

impl Tasks {
    /// Reserves a task.
    ///
    /// # Errors
    /// When the name is taken, or the database cannot be written.
    pub fn reserve(&mut self, wanted: &Reservation) -> Result<Reserved, ServiceError> {
        let wall = sys::now().wall;
        let task = NewTask {
            name: wanted.name.clone(),
            info: wanted.info.clone(),
            handle: sys::new_handle().map_err(ServiceError::Handle)?.to_string(),
            now: wall.secs(),
            unique: wanted.unique,
        };
        // Rounded up: a reservation must not expire before the requested time.
        let held = i64::try_from(wanted.expire.as_nanos()).unwrap_or(i64::MAX);
        let expires = Timestamp(wall.0.saturating_add(held).saturating_add(999_999_999)).secs();
        let id = reconcile::unless_dead(&self.db, |dead| self.store.reserve(&task, expires, dead))?;
        sys::crash_point("reserve.after");
        Ok(Reserved { id, handle: task.handle, expires })
    }
}
