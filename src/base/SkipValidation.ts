/**
 * For a value of a `Schema.Class` whose parts are of the right types already. Where a schema encodes to something else, as a date or a secret does, its
 * constructor would not only check them again but make the check itself anew each time, at fifty times the cost of all the rest.
 *
 * @internal
 */
export const skipValidation: { readonly disableValidation: true } = { disableValidation: true }
