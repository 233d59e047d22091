//! Which rows the store holds already. Time bounds the question: only files, and in them only row groups, whose
//! range overlaps the new rows' can hold a repeat, and of these only the identities are read. Memory is that of the
//! new rows' identities.

use std::fs::File;

use arrow::array::{Array, AsArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::batch::{Keys, Wanted, id_at};
use super::error::{BoxError, StoreError};
use super::file::group_range;
use super::table::{DataFile, Range, overlap};

/// Takes out of `wanted` every identity that `files` hold within `range`.
pub(super) fn remove_known(
    keys: Keys,
    files: &[DataFile],
    range: Range,
    wanted: &mut Wanted,
) -> Result<(), StoreError> {
    for file in files {
        if wanted.is_empty() {
            break;
        }
        if overlap(file.range, range) {
            remove_held(keys, file, range, wanted).map_err(|e| StoreError::at("read", &file.path, e))?;
        }
    }
    Ok(())
}

fn remove_held(keys: Keys, file: &DataFile, range: Range, wanted: &mut Wanted) -> Result<(), BoxError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&file.path)?)?;
    let groups: Vec<usize> = builder
        .metadata()
        .row_groups()
        .iter()
        .enumerate()
        .filter(|(_, group)| overlap(group_range(group, keys.order), range))
        .map(|(at, _)| at)
        .collect();
    if groups.is_empty() {
        return Ok(());
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), [keys.id]);
    for batch in builder.with_row_groups(groups).with_projection(mask).with_batch_size(16 * 1024).build()? {
        let batch = batch?;
        let ids = batch.columns().first().and_then(|c| c.as_binary_opt::<i32>());
        let ids = ids.ok_or_else(|| format!("its column '{}' holds no bytes", keys.id))?;
        for row in 0..ids.len() {
            if let Some(id) = id_at(ids, row) {
                wanted.remove(&id);
            }
        }
    }
    Ok(())
}
