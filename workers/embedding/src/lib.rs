//! Sentence vectors from all-MiniLM-L6-v2, on the CPU: texts of like meaning point the same way.
//!
//! The tokenizer cuts a text after 256 tokens (a long spoken paragraph), the network gives a vector
//! per token, and their mean, scaled to length one, is the text's. Cosine similarity is then a dot
//! product. Texts go through in small batches of similar length, so that memory stays bounded and
//! little is spent on padding. Nothing here logs or keeps a text.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout))]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use thiserror::Error;
use tokenizers::{Encoding, Tokenizer, TruncationParams};

/// A loaded model. Cheap to share by reference between threads; a run allocates what it needs.
pub struct Embedder {
    model: BertModel,
    tokenizer: Tokenizer,
}

#[derive(Debug, Error)]
pub enum EmbeddingError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("could not use {path} as the embedding model: {reason}")]
    Load { path: PathBuf, reason: String },
    /// The reason never quotes the text.
    #[error("could not embed: {reason}")]
    Run { reason: String },
}

impl Embedder {
    /// Reads `model.safetensors`, `tokenizer.json` and `config.json` from `dir`.
    pub fn load(dir: &Path) -> Result<Embedder, EmbeddingError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map(|bytes| (path.clone(), bytes)).map_err(|source| EmbeddingError::Read { path, source })
        };
        let (path, bytes) = read("config.json")?;
        let config: Config = serde_json::from_slice(&bytes).map_err(unusable(&path))?;
        if config.hidden_size != DIMENSIONS {
            let reason = format!("its vectors have {} numbers, not {DIMENSIONS}", config.hidden_size);
            return Err(EmbeddingError::Load { path, reason });
        }
        let (path, bytes) = read("tokenizer.json")?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(unusable(&path))?;
        let truncation = TruncationParams { max_length: TOKENS_MAX, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(unusable(&path))?;
        // The file asks for padding to a fixed 128, which would cost a short sentence ten times its price.
        tokenizer.with_padding(None);
        let (path, bytes) = read("model.safetensors")?;
        let weights =
            VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).map_err(unusable(&path))?;
        let model = BertModel::load(weights, &config).map_err(unusable(&path))?;
        Ok(Embedder { model, tokenizer })
    }

    /// One unit vector per text, in order. An empty text gets the vector of "nothing said".
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<[f32; DIMENSIONS]>, EmbeddingError> {
        let mut encoded = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            // The tokenizer reads a text to its end before it cuts; bound what it is given.
            let head = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
            encoded.push((index, self.tokenizer.encode_fast(head, true).map_err(failed)?));
        }
        encoded.sort_by_key(|(_, encoding)| encoding.len());
        let mut vectors = vec![[0.0; DIMENSIONS]; texts.len()];
        for batch in encoded.chunks(BATCH_TEXTS_MAX) {
            for ((index, _), vector) in batch.iter().zip(self.embed_batch(batch).map_err(failed)?) {
                vectors[*index] = vector;
            }
        }
        Ok(vectors)
    }

    fn embed_batch(&self, batch: &[(usize, Encoding)]) -> candle_core::Result<Vec<[f32; DIMENSIONS]>> {
        let length = batch.iter().map(|(_, encoding)| encoding.len()).max().unwrap_or_default();
        let mut ids = vec![0_u32; batch.len() * length];
        let mut mask = vec![0_u32; batch.len() * length];
        for (row, (_, encoding)) in batch.iter().enumerate() {
            let at = row * length;
            ids[at..at + encoding.len()].copy_from_slice(encoding.get_ids());
            mask[at..at + encoding.len()].fill(1);
        }
        let shape = (batch.len(), length);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let tokens = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let tokens: Vec<f32> = tokens.flatten_all()?.to_vec1()?;
        let rows = tokens.chunks_exact(length * DIMENSIONS).zip(batch);
        Ok(rows.map(|(row, (_, encoding))| unit_mean(row, encoding.len())).collect())
    }
}

/// The cosine of two unit vectors: 1 for the same meaning, near 0 for unrelated ones.
pub fn similarity(a: &[f32; DIMENSIONS], b: &[f32; DIMENSIONS]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The mean of the first `tokens` vectors, at length one; padding behind them does not count.
fn unit_mean(row: &[f32], tokens: usize) -> [f32; DIMENSIONS] {
    let mut mean = [0.0; DIMENSIONS];
    for token in row.chunks_exact(DIMENSIONS).take(tokens) {
        for (sum, value) in mean.iter_mut().zip(token) {
            *sum += value;
        }
    }
    let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    mean.map(|value| value / length)
}

fn unusable<E: ToString>(path: &Path) -> impl Fn(E) -> EmbeddingError + '_ {
    move |error| EmbeddingError::Load { path: path.to_owned(), reason: error.to_string() }
}

fn failed<E: ToString>(error: E) -> EmbeddingError {
    EmbeddingError::Run { reason: error.to_string() }
}

/// Numbers in a vector.
pub const DIMENSIONS: usize = 384;

/// What the model was trained on; the rest of a longer text does not count.
const TOKENS_MAX: usize = 256;
/// 256 tokens of any language fit; a token is rarely longer than 16 bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Of 256 tokens each, this keeps a run's activations under 100 MB.
const BATCH_TEXTS_MAX: usize = 16;

#[cfg(test)]
mod tests;
