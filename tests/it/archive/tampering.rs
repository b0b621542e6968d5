//! What may be done to an archive by somebody who can write to its files.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, RecordBatch, StringArray},
    datatypes::Decimal128Type,
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};
use shared::fingerprint::Fingerprint;

/// What the manifest says.
pub(super) fn manifest(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a manifest")).expect("JSON")
}

fn write_manifest(folder: &Path, manifest: &Value) {
    fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(manifest).expect("JSON")).expect("a file");
}

/// Copies an archive.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("an archive that can be changed");
    for entry in fs::read_dir(from).expect("an archive that can be changed") {
        let entry = entry.expect("an archive that can be changed");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("an archive that can be changed");
    }
}

/// Turns a bit of a file.
pub(super) fn damage(folder: &Path, name: &str) {
    let path = folder.join(name);
    let mut bytes = fs::read(&path).expect("an archive that can be changed");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x01;
    fs::write(path, bytes).expect("an archive that can be changed");
}

/// Cuts the end of a file off.
pub(super) fn cut(folder: &Path, name: &str) {
    let path = folder.join(name);
    let bytes = fs::read(&path).expect("an archive that can be changed");
    fs::write(path, &bytes[..bytes.len() - 9]).expect("an archive that can be changed");
}

/// Puts a link in the place of a file.
pub(super) fn linked(folder: &Path, name: &str) {
    let path = folder.join(name);
    let elsewhere = folder.with_extension("elsewhere");
    fs::rename(&path, &elsewhere).expect("an archive that can be changed");
    std::os::unix::fs::symlink(elsewhere, path).expect("an archive that can be changed");
}

/// Changes the manifest.
pub(super) fn edit(folder: &Path, change: impl Fn(&mut Value)) {
    let mut manifest = manifest(folder);
    change(&mut manifest);
    write_manifest(folder, &manifest);
}

/// Makes sizes and hashes of all files in the manifest anew, as somebody would who may change all of it.
fn rehash(folder: &Path) {
    edit(folder, |manifest| {
        for file in manifest["files"].as_array_mut().expect("a value") {
            let bytes =
                fs::read(folder.join(file["name"].as_str().expect("a value"))).expect("an archive that can be changed");
            file["bytes"] = json!(bytes.len());
            file["sha256"] = json!(Fingerprint::of(&bytes).to_string());
        }
    });
}

/// Writes a table anew, each column as a function of all of them makes it, and leaves out a row.
fn rewrite(
    folder: &Path,
    name: &str,
    without: Option<usize>,
    change: impl Fn(&str, usize, &BTreeMap<String, ArrayRef>) -> Option<ArrayRef>,
) {
    let path = folder.join(name);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("an archive that can be changed"))
        .expect("an archive that can be changed");
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> =
        builder.with_batch_size(100_000).build().expect("a reader").map(|batch| batch.expect("rows")).collect();
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    let columns: BTreeMap<String, ArrayRef> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    let changed = schema.fields().iter().map(|field| {
        change(field.name(), batch.num_rows(), &columns).unwrap_or_else(|| Arc::clone(&columns[field.name()]))
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), changed.collect()).expect("an archive that can be changed");
    let mut writer = ArrowWriter::try_new(File::create(&path).expect("an archive that can be changed"), schema, None)
        .expect("an archive that can be changed");
    let without = without.unwrap_or(batch.num_rows());
    writer.write(&batch.slice(0, without)).expect("an archive that can be changed");
    if without < batch.num_rows() {
        writer
            .write(&batch.slice(without + 1, batch.num_rows() - without - 1))
            .expect("an archive that can be changed");
    }
    writer.close().expect("an archive that can be changed");
}

fn texts(column: &ArrayRef) -> Vec<Option<String>> {
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// The third event of the first slice says something else, and its hash is that of what it says.
pub(super) fn event_changed(folder: &Path) {
    rewrite(folder, "audit_trail.parquet", None, |name, _, columns| {
        let mut events = texts(&columns["event"]);
        let changed = events[2].as_ref().expect("a value").replacen("\"worker\":\"", "\"worker\":\"not ", 1);
        let hash = Fingerprint::of(changed.as_bytes()).to_string();
        events[2] = Some(changed);
        let mut hashes = texts(&columns["hash"]);
        hashes[2] = Some(hash);
        match name {
            "event" => Some(Arc::new(StringArray::from(events))),
            "hash" => Some(Arc::new(StringArray::from(hashes))),
            _ => None,
        }
    });
    rehash(folder);
}

/// The third event of the first slice is gone.
pub(super) fn event_removed(folder: &Path) {
    rewrite(folder, "audit_trail.parquet", Some(2), |_, _, _| None);
    rehash(folder);
}

/// The last event of the first slice is gone.
pub(super) fn last_event_removed(folder: &Path) {
    let events = manifest(folder)["slices"][0]["events"].as_u64().expect("a value");
    rewrite(folder, "audit_trail.parquet", Some(events as usize - 1), |_, _, _| None);
    rehash(folder);
}

/// The column beside the third event says something else than the event.
pub(super) fn column_changed(folder: &Path) {
    rewrite(folder, "audit_trail.parquet", None, |name, _, columns| {
        let mut kinds = texts(&columns["event_type"]);
        kinds[2] = Some("discarded".to_owned());
        (name == "event_type").then(|| Arc::new(StringArray::from(kinds)) as ArrayRef)
    });
    rehash(folder);
}

/// One unit more in one row, in the run's sum and in the manifest: only the chain still says what it was.
pub(super) fn balance_changed(folder: &Path) {
    let more = |column: &ArrayRef, row: usize| -> ArrayRef {
        let column = column.as_primitive::<Decimal128Type>();
        let units: Vec<Option<i128>> = (0..column.len())
            .map(|place| column.is_valid(place).then(|| column.value(place) + i128::from(place == row)))
            .collect();
        Arc::new(Decimal128Array::from(units).with_data_type(column.data_type().clone()))
    };
    rewrite(folder, "accounts.parquet", None, |name, _, columns| (name == "balance").then(|| more(&columns[name], 0)));
    let job = manifest(folder)["slices"][0]["job_id"].as_str().expect("a value").to_owned();
    rewrite(folder, "runs.parquet", None, |name, _, columns| {
        let row = texts(&columns["job_id"])
            .iter()
            .position(|id| id.as_deref() == Some(&job))
            .expect("an archive that can be changed");
        (name == "slice_sum").then(|| more(&columns[name], row))
    });
    edit(folder, |manifest| manifest["slices"][0]["balance_sum"] = json!("-15883780437.6299999929999998"));
    rehash(folder);
}

/// The last row is of a slice that there is not.
pub(super) fn slice_changed(folder: &Path) {
    rewrite(folder, "accounts.parquet", None, |name, rows, columns| {
        let mut entities = texts(&columns["entity"]);
        entities[rows - 1] = Some("Z".to_owned());
        let mut periods = texts(&columns["period"]);
        periods[rows - 1] = Some("2022-06".to_owned());
        match name {
            "entity" => Some(Arc::new(StringArray::from(entities))),
            "period" => Some(Arc::new(StringArray::from(periods))),
            _ => None,
        }
    });
    rehash(folder);
}
