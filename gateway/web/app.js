// Shows the OpenAPI document of this gateway and calls its methods. No library, no outside host.

const MOST_STREAMED_LINES = 50;
const DEEPEST_SCHEMA = 4;
const token = document.getElementById("token");
token.value = sessionStorage.getItem("token") ?? "";
token.addEventListener("change", () => sessionStorage.setItem("token", token.value));

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function resolve(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : schema ?? {};
}

function typeName(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  if (schema.additionalProperties) return `map to ${typeName(schema.additionalProperties)}`;
  return [schema.type, schema.format].filter(Boolean).join(" ");
}

function fieldList(api, schema, depth = 1) {
  const list = element("ul", { className: "schema" });
  for (const [name, field] of Object.entries(resolve(api, schema).properties ?? {})) {
    const item = element("li", {}, element("code", { textContent: name }), ` ${typeName(field)} `,
      element("small", { textContent: field.description ?? "" }));
    const inner = field.type === "array" ? field.items : field;
    if (inner.$ref && depth < DEEPEST_SCHEMA && resolve(api, inner).properties) item.append(fieldList(api, inner, depth + 1));
    list.append(item);
  }
  return list;
}

function parameterRow(parameter) {
  const input = element("input", { name: parameter.name, placeholder: parameter.schema.format ?? "" });
  input.dataset.place = parameter.in;
  input.dataset.list = parameter.schema.type === "array" ? "yes" : "";
  const label = element("td", {}, element("code", { textContent: parameter.name }));
  if (parameter.required) label.append(element("span", { className: "required", textContent: " *" }));
  label.append(element("small", { textContent: typeName(parameter.schema) }));
  const text = parameter.description || parameter.schema.description || "";
  return element("tr", {}, label, element("td", {}, input), element("td", { textContent: text }));
}

function address(path, form) {
  const query = new URLSearchParams();
  let target = path;
  for (const input of form.querySelectorAll("input")) {
    // A colon may stand in a path as it is: instrument keys stay readable.
    const value = encodeURIComponent(input.value).replaceAll("%3A", ":");
    if (input.dataset.place === "path") target = target.replace(`{${input.name}}`, value);
    else if (input.value) (input.dataset.list ? input.value.split(",") : [input.value]).forEach((item) => query.append(input.name, item.trim()));
  }
  return query.size ? `${target}?${query}` : target;
}

async function show(response, output, status, started) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
    const lines = text.split("\n");
    if (lines.length > MOST_STREAMED_LINES) text = lines.slice(-MOST_STREAMED_LINES).join("\n");
    output.textContent = text;
    status.textContent = `${response.status} · ${Math.round(performance.now() - started)} ms`;
  }
  try {
    output.textContent = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    output.textContent = text; // lines of a stream
  }
}

function caller(path, verb, form, body) {
  const output = element("pre", { hidden: true });
  const status = element("span", { className: "status" });
  const send = element("button", { textContent: "Send" });
  const stop = element("button", { textContent: "Stop", className: "quiet", hidden: true });
  let control;
  stop.addEventListener("click", () => control.abort());
  send.addEventListener("click", async () => {
    control = new AbortController();
    const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const started = performance.now();
    [output.hidden, stop.hidden, output.textContent] = [false, false, ""];
    try {
      const request = { method: verb.toUpperCase(), headers, body: body?.value, signal: control.signal };
      await show(await fetch(address(path, form), request), output, status, started);
    } catch (error) {
      if (error.name !== "AbortError") output.textContent = String(error);
    }
    stop.hidden = true;
  });
  return [element("p", {}, send, " ", stop, status), output];
}

function operationBody(api, path, verb, operation) {
  const policy = operation["x-strikeline-policy"];
  const tags = element("div", { className: "tags" });
  for (const [name, value] of Object.entries(policy)) tags.append(element("span", { textContent: `${name} ${value}` }));
  const form = element("table");
  operation.parameters.forEach((parameter) => form.append(parameterRow(parameter)));
  const inside = element("div", { className: "body" }, element("p", { textContent: operation.description }), tags, form);
  let body;
  if (operation.requestBody) {
    const { schema, example = {} } = operation.requestBody.content["application/json"];
    body = element("textarea", { value: JSON.stringify(example, null, 2), spellcheck: false });
    inside.append(element("h3", { textContent: "Body" }), body, fieldList(api, schema));
  }
  inside.append(...caller(path, verb, form, body));
  const answer = Object.values(operation.responses["200"].content)[0].schema;
  inside.append(element("h3", { textContent: `Answer: ${typeName(answer)}` }), fieldList(api, answer));
  return inside;
}

function operationView(api, path, verb, operation) {
  const view = element("details", { id: operation.operationId });
  view.dataset.search = `${verb} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase();
  view.append(element("summary", {}, element("span", { className: `verb ${verb}`, textContent: verb }),
    element("span", { className: "path", textContent: path }), element("span", { className: "text", textContent: operation.summary })));
  view.addEventListener("toggle", () => {
    if (view.open && view.children.length === 1) view.append(operationBody(api, path, verb, operation));
  });
  return view;
}

function render(api) {
  const main = document.getElementById("operations");
  const index = document.getElementById("index");
  document.getElementById("version").textContent = api.info.version;
  main.replaceChildren(element("p", { className: "note", textContent: api.info.description }));
  for (const tag of api.tags) {
    const section = element("section", {}, element("h2", { textContent: tag.name }), element("p", { className: "note", textContent: tag.description }));
    index.append(element("h2", { textContent: tag.name }));
    for (const [path, verbs] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(verbs)) {
        if (!operation.tags.includes(tag.name)) continue;
        section.append(operationView(api, path, verb, operation));
        const [, method, further] = operation.operationId.split("_"); // a second route of a method has a number
        const name = further ? `${method} (${verb.toUpperCase()})` : method;
        index.append(element("a", { href: `#${operation.operationId}`, textContent: name }));
      }
    }
    main.append(section);
  }
}

function openTarget() {
  const view = document.getElementById(location.hash.slice(1));
  if (view?.tagName !== "DETAILS") return;
  view.open = true;
  view.scrollIntoView();
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  document.querySelectorAll("details").forEach((view) => { view.hidden = !view.dataset.search.includes(wanted); });
});
addEventListener("hashchange", openTarget);
const answer = await fetch("/v1/openapi.json");
render(await answer.json());
openTarget();
