//! What files say about the world, as small Parquet files in the store: one a table, named by its content, so that a change
//! makes a new file and whoever reads the old one still can.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;

use super::error::{StoreError, blocking};
use super::file::{fresh_name, write_whole};
use super::query::refusal;
use crate::world::World;

/// The folder in the store for what describes the world: the user's files, and below it the tables that they become.
pub const FOLDER: &str = "context";

/// The tables' folder below [`FOLDER`].
const TABLES: &str = "tables";

/// Files of one table that stay: somebody may still read those before the newest.
const KEPT: usize = 8;

/// The tables of a world, as batches.
pub(super) type Tables = Vec<(&'static str, RecordBatch)>;

/// The tables where nobody said anything.
pub(super) fn empty() -> Tables {
    World::default().tables()
}

/// Makes the tables known to a session, after writing those whose content is new. Where nothing may be written, as in a
/// copy that is only to be read, they are held in memory.
pub(super) async fn register(ctx: &SessionContext, store: &Path, tables: &Arc<Tables>) -> Result<(), StoreError> {
    let (dir, wanted) = (store.join(FOLDER).join(TABLES), tables.clone());
    let written = blocking("write the tables of the world", move || {
        wanted.iter().map(|(name, rows)| shelve(&dir, name, rows)).collect::<Result<Vec<PathBuf>, _>>()
    })
    .await;
    match written {
        Ok(paths) => {
            for ((name, rows), path) in tables.iter().zip(paths) {
                let table = parquet_table(&path, rows.schema())?;
                ctx.register_table(*name, Arc::new(table)).map_err(|e| refusal(&e))?;
            }
        }
        Err(StoreError::Denied { .. }) => {
            for (name, rows) in tables.iter() {
                let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).map_err(|e| refusal(&e))?;
                ctx.register_table(*name, Arc::new(table)).map_err(|e| refusal(&e))?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The path of a table's file, which is written where it is not there yet.
fn shelve(dir: &Path, name: &str, rows: &RecordBatch) -> Result<PathBuf, StoreError> {
    let path = dir.join(format!("{name}-{}.parquet", fingerprint(rows)));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(dir).map_err(|e| StoreError::at("create the directory", dir, e))?;
    // Written beside and then renamed: nobody sees half of it, and two writers write the same.
    let draft = write_whole(dir, fresh_name(".draft"), rows)?;
    fs::rename(dir.join(&draft.name), &path).map_err(|e| StoreError::at("write", &path, e))?;
    forget_old(dir, name);
    Ok(path)
}

/// A hash of columns and rows.
fn fingerprint(rows: &RecordBatch) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("kvaudit world table v1");
    hasher.update(format!("{:?}", rows.schema()).as_bytes());
    for column in rows.columns() {
        let data = column.to_data();
        hasher.update(&(data.len() as u64).to_le_bytes());
        for buffer in data.buffers() {
            hasher.update(&(buffer.len() as u64).to_le_bytes());
            hasher.update(buffer.as_slice());
        }
        for row in 0..data.len() {
            hasher.update(&[u8::from(data.is_null(row))]);
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Removes a table's oldest files, as far as that goes: one too many does no harm.
fn forget_old(dir: &Path, name: &str) {
    let is_ours = |path: &Path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".parquet"))
    };
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_ours(&entry.path()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    for (_, path) in files.iter().rev().skip(KEPT) {
        let _ = fs::remove_file(path);
    }
}

fn parquet_table(path: &Path, schema: SchemaRef) -> Result<ListingTable, StoreError> {
    let failed = |reason: &str| StoreError::at("read", path, reason.to_owned());
    let url = url::Url::from_file_path(path).map_err(|()| failed("its path is no URL"))?;
    let url = ListingTableUrl::try_new(url, None).map_err(|e| refusal(&e))?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(viewed(&schema));
    ListingTable::try_new(config).map_err(|e| refusal(&e))
}

/// The types that the session has for what is read from Parquet, so that joins compare like with like.
fn viewed(schema: &Schema) -> SchemaRef {
    let kind = |f: &Field| if f.data_type() == &DataType::Utf8 { DataType::Utf8View } else { f.data_type().clone() };
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), kind(f), f.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
