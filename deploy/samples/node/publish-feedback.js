// Publishes what a visitor of the website said: one event, as Termijn reads it.
//
//   node publish-feedback.js FEEDBACK VISITOR GIVEN_AT, with the text on stdin
//
// Brokers are in KAFKA_BOOTSTRAP_SERVERS; SCHEMA_REGISTRY_URL or SCHEMA (the .avsc file) says how the
// value is written.
import {readFileSync} from 'node:fs';
import avro from 'avsc';
import {Kafka, Partitioners, logLevel} from 'kafkajs';

const TYPE = 'website.feedback-given';
const TOPIC = `${TYPE}.v1`;

const [feedback, visitor, givenAt] = process.argv.slice(2);
const text = readFileSync(0, 'utf8');
const {type, frame} = await written();
const message = {
  // The key is the data subject: what is about one person stays in order.
  key: `visitor:${visitor}`,
  // What is not set takes the schema's default.
  value: Buffer.concat([frame, type.toBuffer({feedback_id: feedback, visitor_id: visitor, text})]),
  headers: {
    'ce_specversion': '1.0',
    // Source and id are the event's identity: the same event sent again has the same, and counts once.
    'ce_id': `feedback-given-${feedback}`,
    'ce_source': 'urn:example:website',
    'ce_type': TYPE,
    'ce_time': new Date(givenAt).toISOString(), // when it happened, not when it is published
    'content-type': 'application/avro',
  },
};

const brokers = process.env.KAFKA_BOOTSTRAP_SERVERS.split(',');
const producer = new Kafka({brokers, clientId: 'website', logLevel: logLevel.NOTHING}).producer({
  createPartitioner: Partitioners.DefaultPartitioner,
  idempotent: true,
  maxInFlightRequests: 1,
});
await producer.connect();
try {
  await producer.send({topic: TOPIC, acks: -1, messages: [message]}); // fails where it was not taken
} finally {
  await producer.disconnect();
}

// The newest version that the registry has, in Confluent's wire format; or the schema file, in Avro's
// single-object encoding.
async function written() {
  const registry = process.env.SCHEMA_REGISTRY_URL;
  if (!registry) {
    const type = avro.Type.forSchema(JSON.parse(readFileSync(process.env.SCHEMA, 'utf8')));
    return {type, frame: Buffer.concat([Buffer.from([0xc3, 0x01]), fingerprint(type)])};
  }
  const answer = await fetch(`${registry}/subjects/${TOPIC}-value/versions/latest`);
  if (!answer.ok) throw new Error(`${answer.url} answered ${answer.status}`);
  const {id, schema} = await answer.json();
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(id, 1);
  return {type: avro.Type.forSchema(JSON.parse(schema)), frame};
}

// CRC-64-AVRO of the schema's Parsing Canonical Form, little-endian, as Avro's specification has it.
function fingerprint(type) {
  const empty = 0xc15d213aa4d7a795n;
  let found = empty;
  for (const byte of Buffer.from(JSON.stringify(type.schema()))) {
    found ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) found = (found >> 1n) ^ (found & 1n ? empty : 0n);
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(found);
  return bytes;
}
