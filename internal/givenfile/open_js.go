package givenfile

const nonblock = 0 // there are no pipes
