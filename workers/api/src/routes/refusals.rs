//! Describes what the gate itself may answer, once for all operations: no handler knows of it.
use utoipa::openapi::{ContentBuilder, Header, OpenApi, Ref, Response, ResponseBuilder, Type};

/// Adds the gate's refusals to every operation but the probes, which are always let through.
pub(super) fn describe(document: &mut OpenApi) {
    let paths = document.paths.paths.iter_mut().filter(|(path, _)| !path.starts_with("/health"));
    for (_, item) in paths {
        for operation in
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
        {
            for (status, description) in REFUSALS {
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(|| refusal(description).into());
            }
        }
    }
}

fn refusal(description: &str) -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let seconds = utoipa::openapi::Object::with_type(Type::Integer);
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", problem)
        .header("Retry-After", Header::new(seconds))
        .build()
}

const REFUSALS: [(&str, &str); 2] = [
    ("429", "`rate-limited`: a budget is spent."),
    (
        "503",
        "`overloaded`: this worker has no place for a request of this `class` (emergency, live-call, interactive or \
         batch); or a part that the answer needs is away or busy.",
    ),
];
