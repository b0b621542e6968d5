//! How large a workbook may be.

/// The bounds of a workbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkbookLimits {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of all its parts, unpacked.
    pub unpacked: u64,
}

impl WorkbookLimits {
    /// Bytes of memory that all workbooks share while they are opened.
    pub fn memory(self) -> u64 {
        self.unpacked / 2
    }
}
