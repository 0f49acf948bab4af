"""Writers that do everything an application may do, and the means to say afterwards what should have been sent."""
