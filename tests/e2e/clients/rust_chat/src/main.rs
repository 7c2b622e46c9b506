//! reqwest with rustls on ring, without any SDK: each prompt by a task of its own.

use std::env;

use serde_json::{json, Value};

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn ask(client: reqwest::Client, prompt: String) -> Result<Value, Error> {
    let base = env::var("OPENAI_BASE_URL").unwrap_or("https://api.openai.com/v1".into());
    let question = json!({
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": prompt}],
    });
    let answer: Value = client
        .post(format!("{base}/chat/completions"))
        .bearer_auth(env::var("OPENAI_API_KEY")?)
        .json(&question)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer["choices"][0]["message"]["content"].clone())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = reqwest::Client::new();
    let tasks: Vec<_> = env::args()
        .skip(1)
        .map(|prompt| tokio::spawn(ask(client.clone(), prompt)))
        .collect();
    for task in tasks {
        println!("{}", task.await??);
    }
    Ok(())
}
