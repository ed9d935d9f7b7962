TAKEOVERS: tuple = ()
