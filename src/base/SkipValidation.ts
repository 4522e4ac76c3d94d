/**
 * Constructor option of a `Schema.Class` whose fields are already validated. For a schema with a transformation, such
 * as a date or a secret, the constructor would also compile the validation each time, at fifty times the cost of
 * everything else.
 *
 * @internal
 */
export const skipValidation: { readonly disableValidation: true } = { disableValidation: true }
