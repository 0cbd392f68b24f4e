// Verifies Sigstore bundles with the libraries of the npm client, with a key and without any log.
//
//   node verify.mjs PUBLIC-KEY.pem BUNDLE.json [SIGNED-FILE]
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { bundleFromJSON } from "@sigstore/bundle";
import { Verifier, toSignedEntity } from "@sigstore/verify";

const [keyFile, bundleFile, signedFile] = process.argv.slice(2);
const publicKey = createPublicKey(readFileSync(keyFile));
const trustMaterial = {
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
  publicKey: () => ({ publicKey, validFor: () => true }),
};
const bundle = bundleFromJSON(JSON.parse(readFileSync(bundleFile, "utf8")));
const signed = signedFile === undefined ? undefined : readFileSync(signedFile);
new Verifier(trustMaterial, { ctlogThreshold: 0, tlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 }).verify(
  toSignedEntity(bundle, signed),
);
console.log("verified");
